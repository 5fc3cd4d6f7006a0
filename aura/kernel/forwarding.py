"""Every process answers for the whole platform: calls of modules that are hosted elsewhere are passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import grpc

from aura.kernel.channel import Metadata, TranslatedCall
from aura.kernel.contracts import describe, module_of
from aura.kernel.errors import Unavailable
from aura.kernel.interceptors.call import (
    FORWARDED_USER_AGENT,
    USER_AGENT,
    Call,
    Context,
    current_call,
    user_agent_of,
)
from aura.kernel.interceptors.chain import InterceptorChain
from aura.kernel.interceptors.request_id import REQUEST_ID_METADATA
from aura.kernel.interceptors.trace_context import TRACE_PARENT, TRACE_STATE
from aura.kernel.registry import ServiceRegistry
from aura.kernel.remote import RETRY_AFTER, RemoteProcess, watch
from aura.kernel.security.internal_identity import IDENTITY_METADATA, RESERVED_PREFIX, Identity, InternalIdentities
from aura.kernel.topology import Process

STATUS_DETAILS = "grpc-status-details-bin"
_SET_ANEW = {USER_AGENT, FORWARDED_USER_AGENT, REQUEST_ID_METADATA, TRACE_PARENT, TRACE_STATE}
_END = grpc.aio.EOF


class TopologyMismatch(Unavailable):
    """A call was passed on to a process whose own topology says that the module is elsewhere."""

    reason = "TOPOLOGY_MISMATCH"

    def __init__(self, *, module: str, process: str) -> None:
        super().__init__(
            f"process {process} was asked for module {module}, which it does not host; "
            "restart the processes that have an old topology",
            metadata={"module": module, "process": process},
            retry_after=RETRY_AFTER,
        )


class Forwarding(grpc.GenericRpcHandler):
    """Handles the services of other processes, without knowing their messages.

    Args:
        elsewhere: for each service that is hosted in another process, that process.
        chain: what each call goes through here; it must not look into messages.
        process: the name of this process.
    """

    def __init__(
        self,
        *,
        elsewhere: Mapping[str, Process],
        chain: InterceptorChain,
        registry: ServiceRegistry,
        identities: InternalIdentities,
        process: str,
    ) -> None:
        self._elsewhere = elsewhere
        self._chain = chain
        self._registry = registry
        self._identities = identities
        self._process = process
        self._handlers: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Returns what passes a method's calls on; None for a service that is not hosted elsewhere."""
        path: str = handler_call_details.method
        service, _, method = path[1:].rpartition("/")
        process = self._elsewhere.get(service)
        if process is None or method not in describe(service).methods_by_name:
            return None
        if path not in self._handlers:
            # On the wire all kinds of call are streams of messages.
            handler: Any = grpc.stream_stream_rpc_method_handler(self._passing_on(path, process))
            self._handlers[path] = self._chain.wrap(path, handler)
        return self._handlers[path]

    def _passing_on(self, path: str, process: Process) -> Any:
        async def forward(requests: AsyncIterator[bytes], _: Context) -> AsyncIterator[bytes]:
            call = current_call.get()
            assert call is not None
            if call.forwarded:
                raise TopologyMismatch(module=module_of(path), process=self._process)
            async for response in _relay(
                self._registry.remote(process, passing_on=True), self._metadata(call, path, process), requests
            ):
                yield response

        return forward

    def _metadata(self, call: Call, path: str, process: Process) -> Metadata:
        identity = Identity(
            user=call.actor.user_id,
            module=call.actor.via_module or "",
            forwarded=True,
            roles=call.actor.roles,
            session=call.actor.session_id,
            source=call.actor.source,
        )
        return (
            *_passed_on(call.context.invocation_metadata() or ()),
            (FORWARDED_USER_AGENT, user_agent_of(call.context)),
            (IDENTITY_METADATA, self._identities.seal(identity, method=path, process=process.name)),
            (REQUEST_ID_METADATA, call.request_id),
            *(call.trace.metadata if call.trace else ()),
        )


async def _relay(remote: RemoteProcess, metadata: Metadata, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Makes the call that is being handled at another process; gives its messages, metadata and status."""
    call = current_call.get()
    assert call is not None
    context, path = call.context, call.method.path
    timeout = context.time_remaining()
    method: Any = remote.channel.stream_stream(path)
    made = method(requests, timeout=timeout, metadata=metadata, wait_for_ready=True)
    answer = TranslatedCall(made, watch(remote, made, timeout, module_of(path), keep_status=True))
    headers = asyncio.create_task(_relay_headers(made, context))
    try:
        while (response := await answer.read()) is not _END:
            await headers
            yield response
        await headers
        context.set_trailing_metadata(_without_transport(await made.trailing_metadata() or ()))
    except grpc.aio.AioRpcError as error:
        trailing = _without_transport(error.trailing_metadata() or ())
        await context.abort(error.code(), error.details() or "", trailing)
    finally:
        headers.cancel()
        made.cancel()


async def _relay_headers(made: Any, context: Context) -> None:
    initial = _without_transport(await made.initial_metadata() or ())
    if initial or not made.done():
        await context.send_initial_metadata(initial)


def _passed_on(metadata: Iterable[tuple[str, str | bytes]]) -> Metadata:
    return tuple(
        (key, value)
        for key, value in metadata
        if key not in _SET_ANEW and not key.startswith((RESERVED_PREFIX, "grpc-", ":"))
    )


def _without_transport(metadata: Iterable[tuple[str, str | bytes]]) -> Metadata:
    return tuple((key, value) for key, value in metadata if key == STATUS_DETAILS or not key.startswith("grpc-"))
