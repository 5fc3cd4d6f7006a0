"""Serves `aura.audit.v1.AuditService`: for the modules hosted here, and by way of their processes for the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from aura.kernel.errors import FieldViolation, InvalidRequest
from aura.kernel.forwarding import TopologyMismatch
from aura.kernel.interceptors.call import current_call
from generated.aura.audit.v1 import audit_service_pb2 as pb
from generated.aura.audit.v1 import audit_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from aura.kernel.audit_log import AuditLog
    from aura.kernel.interceptors.call import Call, Context
    from aura.kernel.pagination import PageTokens
    from aura.kernel.peers import Peers
    from aura.kernel.topology import Topology

SERVICE = pb.DESCRIPTOR.services_by_name["AuditService"].full_name


class AuditServicer(pb_grpc.AuditServiceServicer):
    """Reads the audit trails of all modules.

    Args:
        logs: the audit trails of the modules hosted here, by module.
        modules: the names of all modules.
    """

    def __init__(
        self,
        *,
        logs: Mapping[str, AuditLog],
        modules: Collection[str],
        topology: Topology,
        process: str,
        peers: Peers,
        page_tokens: PageTokens,
    ) -> None:
        self._logs = logs
        self._modules = modules
        self._topology = topology
        self._process = process
        self._peers = peers
        self._page_tokens = page_tokens

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        """Lists what a module's audit trail tells."""
        call = current_call.get()
        assert call is not None
        log = self._logs.get(request.module)
        if log is None:
            return await self._from_elsewhere(request, call)
        actor = call.actor.user_id
        page = await log.page(request, after=self._page_tokens.open(request=request, actor=actor))
        return pb.ListAuditEntriesResponse(
            entries=page.items, next_page_token=self._page_tokens.seal(page.end, request=request, actor=actor)
        )

    async def _from_elsewhere(self, request: pb.ListAuditEntriesRequest, call: Call) -> pb.ListAuditEntriesResponse:
        if request.module not in self._modules:
            description = f"must name a module of the platform: {', '.join(sorted(self._modules))}"
            raise InvalidRequest(FieldViolation(field="module", description=description))
        if call.forwarded:
            raise TopologyMismatch(module=request.module, process=self._process)
        process = self._topology.host_of(request.module)
        answer: pb.ListAuditEntriesResponse = await self._peers.call(process, "ListAuditEntries", request)
        call.audited = True  # by that process, in the trail that was read
        return answer
