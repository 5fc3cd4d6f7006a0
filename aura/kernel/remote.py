"""The way to another process: one channel, on which calls wait for it to be there, but not for ever."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import structlog

from aura.kernel.channel import Translate
from aura.kernel.contracts import repeatable_methods
from aura.kernel.errors import AuraError, Code, DeadlineExceeded, Internal, Unavailable
from aura.kernel.rpc_status import from_rpc_error
from aura.kernel.security.internal_identity import IdentityRefused
from aura.kernel.tls import TlsError, TlsFiles, client_channel
from aura.kernel.topology import Process

log = structlog.get_logger()

PATIENCE_SECONDS = 5.0
"""How long a call waits for a process that is not there."""

SHARE_OF_DEADLINE = 0.8
"""How much of its time a call waits at most, so that its caller still hears why it failed."""

LOSS_SECONDS = 15.0
"""How long a call goes on whose process has closed the connection: it may be stopping, and finish what it has begun."""

LAST_MOMENT = 0.95
"""When, as a share of its time, such a call ends at the latest: its caller is to hear why."""

LOOK_SECONDS = 1.0

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
        self._tls = tls
        self._stamps = tls.stamps if tls else None
        self._open = partial(client_channel, process.address, tls, _options(services, maximum_message_bytes))
        self._channel = self._open()
        self._retiring: set[asyncio.Task[None]] = set()
        self.times_connected = 0
        self.lost_time: float | None = None
        """When the connection was lost; None while there is one, and before there was any."""
        self._watching = asyncio.create_task(self._watch())

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to it: another one once the certificates have changed, and a connection has to be made."""
        if self._tls is not None and not self.is_connected and self._tls.stamps != self._stamps:
            self._renew(self._tls)
        return self._channel

    @property
    def is_connected(self) -> bool:
        """Whether calls can be made now."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def close(self) -> None:
        """Closes the channel."""
        self._watching.cancel()
        await asyncio.wait([self._watching])
        for retiring in self._retiring:
            retiring.cancel()
        await self._channel.close()

    def _renew(self, tls: TlsFiles) -> None:
        self._stamps = tls.stamps
        try:
            channel = self._open()
        except TlsError as error:
            log.error("changed certificates cannot be used; the old ones stay", problem=str(error))  # noqa: TRY400
            return
        retiring = asyncio.create_task(self._channel.close(LOSS_SECONDS))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)
        self._watching.cancel()
        self._channel, self._watching = channel, asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        state = self._channel.get_state()
        while True:
            if state is grpc.ChannelConnectivity.READY:
                self.times_connected, self.lost_time = self.times_connected + 1, None
            elif self.times_connected and self.lost_time is None:
                self.lost_time = asyncio.get_running_loop().time()
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state()


class Patience:
    """Ends a call for which no connection comes about in time.

    One that has had a connection goes on for longer without: a process that stops closes the connection to new calls
    and finishes the old ones, and looks the same from here as one that was killed.
    """

    def __init__(self, remote: RemoteProcess, call: Any, timeout: float | None) -> None:
        self.lost = False
        """Whether the call was given up."""
        self._remote = remote
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._connections = remote.times_connected - remote.is_connected
        self._limit = PATIENCE_SECONDS if timeout is None else min(PATIENCE_SECONDS, timeout * SHARE_OF_DEADLINE)
        self._last_moment = None if timeout is None else self._begun + timeout * LAST_MOMENT
        self._timer = self._loop.call_later(self._limit, self._look)
        call.add_done_callback(lambda _: self._timer.cancel())

    def _look(self) -> None:
        now = self._loop.time()
        if not self._remote.is_connected and self._is_hopeless(now):
            self.lost = self._call.cancel()
            return
        ahead = LOOK_SECONDS
        if self._last_moment is not None and now < self._last_moment:
            ahead = min(ahead, self._last_moment - now)
        self._timer = self._loop.call_later(ahead, self._look)

    def _is_hopeless(self, now: float) -> bool:
        if self._remote.times_connected == self._connections:
            return now - self._begun >= self._limit
        lost = self._remote.lost_time
        too_long = lost is not None and now - lost >= LOSS_SECONDS
        return too_long or (self._last_moment is not None and now >= self._last_moment)


def watch(
    remote: RemoteProcess, call: Any, timeout: float | None, module: str, *, keep_status: bool = False
) -> Translate:
    """Has a call on a remote process end when it waits in vain; returns what to make of its errors.

    With `keep_status`, a status that the process itself has given stays what it is.
    """
    patience = Patience(remote, call, timeout)

    def translate(error: BaseException) -> BaseException:
        if not isinstance(error, grpc.aio.AioRpcError):
            return ModuleUnavailable(module=module, process=remote.name) if patience.lost else error
        if keep_status and not is_lost(error) and not _is_our_fault(error):
            return error
        return error_of_call(error, module=module, process=remote.name)

    return translate


def error_of_call(error: grpc.aio.AioRpcError, *, module: str, process: str) -> AuraError:
    """Returns the error that a module's failed call stands for."""
    if is_lost(error):
        return ModuleUnavailable(module=module, process=process)
    failure = from_rpc_error(error)
    if failure.reason == IdentityRefused.reason:
        log.error("a process does not believe another: their secret keys or clocks differ", process=process)
        return Internal("something went wrong on our side; the request id finds it in the log", reason="INTERNAL")
    if failure.code is Code.DEADLINE_EXCEEDED and not failure.reason:
        return DeadlineExceeded(f"module {module} did not answer in time")
    if (wrapped := _OF_A_CLOSED_STREAM.fullmatch(failure.message)) is not None:
        failure.message = wrapped[1]
    return failure


def is_lost(error: grpc.aio.AioRpcError) -> bool:
    """Returns whether it was the transport that ended a call: a process of ours always answers with trailers."""
    return error.code() in _OF_A_LOST_CONNECTION and not error.trailing_metadata()


def _is_our_fault(error: grpc.aio.AioRpcError) -> bool:
    """Returns whether one process of the platform does not believe another."""
    return error.code() is grpc.StatusCode.UNAUTHENTICATED and from_rpc_error(error).reason == IdentityRefused.reason


def _options(services: Iterable[str], maximum_message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.enable_http_proxy", 0),  # which would see what patients say
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
