"""Serves `aura.mentalhealth.v1`."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.interceptors.call import Context
from aura.kernel.pagination import PageTokens, page_size_of
from aura.kernel.security.actor import Actor
from aura.mentalhealth.api import presenters
from aura.mentalhealth.application.use_cases.cancel_therapy_session import CancelTherapySession
from aura.mentalhealth.application.use_cases.end_therapy_session import EndTherapySession
from aura.mentalhealth.application.use_cases.get_disorder import GetDisorder
from aura.mentalhealth.application.use_cases.get_therapy_session import GetTherapySession
from aura.mentalhealth.application.use_cases.list_disorders import ListDisorders
from aura.mentalhealth.application.use_cases.schedule_therapy_session import ScheduleTherapySession
from aura.mentalhealth.application.use_cases.start_therapy_session import StartTherapySession
from generated.aura.mentalhealth.v1 import disorder_pb2, therapy_session_pb2
from generated.aura.mentalhealth.v1 import disorder_service_pb2 as disorder_service
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as session_service
from generated.aura.mentalhealth.v1.disorder_service_pb2_grpc import DisorderServiceServicer
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceServicer


class TherapySessionServicer(TherapySessionServiceServicer):
    """Parses, calls, presents."""

    def __init__(
        self,
        *,
        schedule: ScheduleTherapySession,
        get: GetTherapySession,
        start: StartTherapySession,
        end: EndTherapySession,
        cancel: CancelTherapySession,
    ) -> None:
        self._schedule = schedule
        self._get = get
        self._start = start
        self._end = end
        self._cancel = cancel

    async def ScheduleTherapySession(
        self, request: session_service.ScheduleTherapySessionRequest, context: Context
    ) -> therapy_session_pb2.TherapySession:
        """Books a session."""
        session = await self._schedule.execute(presenters.booking_from_proto(request))
        return presenters.session_to_proto(session)

    async def GetTherapySession(
        self, request: session_service.GetTherapySessionRequest, context: Context
    ) -> therapy_session_pb2.TherapySession:
        """Returns a session with its history."""
        session = await self._get.execute(UUID(request.session_id))
        return presenters.session_to_proto(session)

    async def StartTherapySession(
        self, request: session_service.StartTherapySessionRequest, context: Context
    ) -> therapy_session_pb2.TherapySession:
        """Starts a session."""
        session = await self._start.execute(UUID(request.session_id), reason=request.reason)
        return presenters.session_to_proto(session)

    async def EndTherapySession(
        self, request: session_service.EndTherapySessionRequest, context: Context
    ) -> therapy_session_pb2.TherapySession:
        """Ends a session."""
        session = await self._end.execute(UUID(request.session_id), reason=request.reason)
        return presenters.session_to_proto(session)

    async def CancelTherapySession(
        self, request: session_service.CancelTherapySessionRequest, context: Context
    ) -> therapy_session_pb2.TherapySession:
        """Cancels a session."""
        by = presenters.party_from_proto(request.cancelled_by)
        session = await self._cancel.execute(UUID(request.session_id), by=by, reason=request.reason)
        return presenters.session_to_proto(session)


class DisorderServicer(DisorderServiceServicer):
    """Parses, calls, presents."""

    def __init__(
        self, *, get: GetDisorder, list_disorders: ListDisorders, page_tokens: PageTokens, actor: Actor
    ) -> None:
        self._get = get
        self._list = list_disorders
        self._page_tokens = page_tokens
        self._actor = actor.user_id

    async def ListDisorders(
        self, request: disorder_service.ListDisordersRequest, context: Context
    ) -> disorder_service.ListDisordersResponse:
        """Lists entries of the catalogue."""
        position = self._page_tokens.open(request=request, actor=self._actor)
        page = await self._list.execute(
            presenters.filter_from_proto(request), after=position, page_size=page_size_of(request.page_size)
        )
        return disorder_service.ListDisordersResponse(
            disorders=map(presenters.disorder_to_proto, page.items),
            next_page_token=self._page_tokens.seal(page.end, request=request, actor=self._actor),
        )

    async def GetDisorder(
        self, request: disorder_service.GetDisorderRequest, context: Context
    ) -> disorder_pb2.Disorder:
        """Returns an entry of the catalogue."""
        return presenters.disorder_to_proto(await self._get.execute(request.code))
