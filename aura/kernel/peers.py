"""The other processes, where one of them is asked for what another hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aura.kernel.channel import TranslatedCall
from aura.kernel.interceptors.call import current_call
from aura.kernel.interceptors.request_id import REQUEST_ID_METADATA
from aura.kernel.remote import watch
from aura.kernel.security.internal_identity import IDENTITY_METADATA, Identity, InternalIdentities

if TYPE_CHECKING:
    import grpc

    from aura.kernel.registry import ServiceRegistry
    from aura.kernel.topology import Process


@dataclass(frozen=True, kw_only=True)
class Peers:
    """The other processes' servicers of a service that every process has. A call that comes from one is not passed on.

    Attributes:
        service: The service's full name.
        stub_class: Its generated stub.
        processes: The other processes that host modules.
    """

    service: str
    stub_class: Callable[[grpc.aio.Channel], Any]
    registry: ServiceRegistry
    identities: InternalIdentities
    processes: Sequence[Process]

    async def ask(self, method: str, request: Any) -> list[Any]:
        """Returns what each of them answers to a unary call."""
        return await asyncio.gather(*(self.call(process, method, request) for process in self.to_ask))

    def streams(self, method: str, request: Any) -> list[AsyncIterator[Any]]:
        """Returns what each of them answers to a call with a stream of responses."""
        return [aiter(self.call(process, method, request)) for process in self.to_ask]

    @property
    def to_ask(self) -> Sequence[Process]:
        """The processes to ask for the present call."""
        call = current_call.get()
        return () if call is not None and call.forwarded else self.processes

    def call(self, process: Process, method: str, request: Any) -> Any:
        """Makes a call of one of them, on behalf of whoever makes the present one."""
        call = current_call.get()
        assert call is not None
        remote, path = self.registry.remote(process), f"/{self.service}/{method}"
        identity = Identity(
            user=call.actor.user_id,
            module=call.actor.via_module or "",
            forwarded=True,
            roles=call.actor.roles,
            session=call.actor.session_id,
            source=call.actor.source,
        )
        metadata = (
            (IDENTITY_METADATA, self.identities.seal(identity, method=path, process=process.name)),
            (REQUEST_ID_METADATA, call.request_id),
            *(call.trace.metadata if call.trace else ()),
        )
        timeout = call.context.time_remaining()
        stub = self.stub_class(remote.channel)
        made = getattr(stub, method)(request, timeout=timeout, metadata=metadata, wait_for_ready=True)
        return TranslatedCall(made, watch(remote, made, timeout, ", ".join(process.modules)))
