"""The way to another process: one channel, on which calls wait for it to be there, but not for ever."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import grpc
from grpc_status import rpc_status

from aura.kernel.channel import Translate
from aura.kernel.contracts import repeatable_methods
from aura.kernel.errors import AuraError, Code, DeadlineExceeded, Unavailable
from aura.kernel.rpc_status import from_rpc_error
from aura.kernel.topology import Process, TlsFiles

PATIENCE_SECONDS = 5.0
"""How long a call waits for a process that is not there."""

SHARE_OF_DEADLINE = 0.8
"""How much of its time a call waits at most, so that its caller still hears why it failed."""

RETRY_AFTER = timedelta(seconds=1)
KEEPALIVE_MILLISECONDS = 20_000
_OF_A_CLOSED_STREAM = re.compile(r"Stream removed \((.*)\)", re.DOTALL)  # what gRPC puts around a text, now and then
_OF_A_LOST_CONNECTION = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}


class ModuleUnavailable(Unavailable):
    """The process that hosts a module cannot be reached, or went away during the call."""

    reason = "MODULE_UNAVAILABLE"

    def __init__(self, *, module: str, process: str) -> None:
        super().__init__(
            f"module {module} cannot be reached in process {process}; try again",
            metadata={"module": module, "process": process},
            retry_after=RETRY_AFTER,
        )


class RemoteProcess:
    """Another process of the topology."""

    def __init__(
        self, process: Process, *, services: Iterable[str], tls: TlsFiles | None, maximum_message_bytes: int
    ) -> None:
        self.name = process.name
        options = _options(services, maximum_message_bytes)
        if tls is None:
            self.channel = grpc.aio.insecure_channel(process.address, options=options)
        else:
            self.channel = grpc.aio.secure_channel(process.address, client_credentials(tls), options=options)

    async def close(self) -> None:
        """Closes the channel."""
        await self.channel.close()


class Patience:
    """Ends a call for which no connection has come about in time."""

    def __init__(self, channel: grpc.aio.Channel, call: Any, timeout: float | None) -> None:
        self.lost = False
        """Whether the call was given up."""
        self._channel = channel
        self._call = call
        seconds = PATIENCE_SECONDS if timeout is None else min(PATIENCE_SECONDS, timeout * SHARE_OF_DEADLINE)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)
        call.add_done_callback(lambda _: self._timer.cancel())

    def _look(self) -> None:
        if self._channel.get_state() is not grpc.ChannelConnectivity.READY:
            self.lost = self._call.cancel()


def watch(
    remote: RemoteProcess, call: Any, timeout: float | None, module: str, *, keep_status: bool = False
) -> Translate:
    """Has a call on a remote process end when it waits in vain; returns what to make of its errors.

    With `keep_status`, a status that the process itself has given stays what it is.
    """
    patience = Patience(remote.channel, call, timeout)

    def translate(error: BaseException) -> BaseException:
        if not isinstance(error, grpc.aio.AioRpcError):
            return ModuleUnavailable(module=module, process=remote.name) if patience.lost else error
        if keep_status and not is_lost(error):
            return error
        return error_of_call(error, module=module, process=remote.name)

    return translate


def error_of_call(error: grpc.aio.AioRpcError, *, module: str, process: str) -> AuraError:
    """Returns the error that a module's failed call stands for."""
    if is_lost(error):
        return ModuleUnavailable(module=module, process=process)
    failure = from_rpc_error(error)
    if failure.code is Code.DEADLINE_EXCEEDED and not failure.reason:
        return DeadlineExceeded(f"module {module} did not answer in time")
    if (wrapped := _OF_A_CLOSED_STREAM.fullmatch(failure.message)) is not None:
        failure.message = wrapped[1]
    return failure


def is_lost(error: grpc.aio.AioRpcError) -> bool:
    """Returns whether it was the transport that ended a call: what a process of ours says has details."""
    return error.code() in _OF_A_LOST_CONNECTION and rpc_status.from_call(error) is None


def client_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Returns what a process trusts, and shows, when it calls another."""
    own = (tls.key.read_bytes(), tls.certificate.read_bytes()) if tls.mutual else (None, None)
    return grpc.ssl_channel_credentials(tls.authority.read_bytes(), *own)


def server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Returns what a process shows, and what it asks for, when it is called."""
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    authority = tls.authority.read_bytes() if tls.mutual else None
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=tls.mutual)


def _options(services: Iterable[str], maximum_message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", maximum_message_bytes),
        ("grpc.max_send_message_length", -1),  # its receiver refuses what is too long, as in one process
        ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.service_config", json.dumps({"methodConfig": [_retries(services)]})),
    ]


def _retries(services: Iterable[str]) -> dict[str, Any]:
    """Returns the part of a service config (gRFC A6) that repeats calls whose contract allows it."""
    names = [{"service": service, "method": method} for service in services for method in repeatable_methods(service)]
    return {
        "name": names,
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        },
    }
