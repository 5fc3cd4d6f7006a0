"""Serves `aura.mentalhealth.v1`."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.interceptors.call import Context
from aura.kernel.pagination import PageTokens, page_size_of
from aura.kernel.security.actor import Actor
from aura.mentalhealth.api import presenters
from aura.mentalhealth.application.use_cases.begin_emergency_access import BeginEmergencyAccess
from aura.mentalhealth.application.use_cases.cancel_therapy_session import CancelTherapySession
from aura.mentalhealth.application.use_cases.end_emergency_access import EndEmergencyAccess
from aura.mentalhealth.application.use_cases.end_therapy_session import EndTherapySession
from aura.mentalhealth.application.use_cases.get_availability import GetAvailability
from aura.mentalhealth.application.use_cases.get_disorder import GetDisorder
from aura.mentalhealth.application.use_cases.get_statistics import GetStatistics
from aura.mentalhealth.application.use_cases.get_therapy_session import GetTherapySession
from aura.mentalhealth.application.use_cases.list_disorders import ListDisorders
from aura.mentalhealth.application.use_cases.list_emergency_accesses import ListEmergencyAccesses
from aura.mentalhealth.application.use_cases.list_therapy_sessions import ListTherapySessions
from aura.mentalhealth.application.use_cases.mark_no_show import MarkNoShow
from aura.mentalhealth.application.use_cases.reschedule_therapy_session import RescheduleTherapySession
from aura.mentalhealth.application.use_cases.schedule_therapy_session import ScheduleTherapySession
from aura.mentalhealth.application.use_cases.search_disorders import (
    DEFAULT_MATCHES,
    MAXIMUM_MATCHES,
    SearchDisorders,
)
from aura.mentalhealth.application.use_cases.start_therapy_session import StartTherapySession
from aura.mentalhealth.domain.entities.emergency_access import DEFAULT_DURATION
from generated.aura.mentalhealth.v1 import disorder_pb2, emergency_access_pb2, therapy_session_pb2
from generated.aura.mentalhealth.v1 import disorder_service_pb2 as disorder_service
from generated.aura.mentalhealth.v1 import emergency_access_service_pb2 as emergency_service
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as session_service
from generated.aura.mentalhealth.v1.disorder_service_pb2_grpc import DisorderServiceServicer
from generated.aura.mentalhealth.v1.emergency_access_service_pb2_grpc import EmergencyAccessServiceServicer
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
        reschedule: RescheduleTherapySession,
        mark_no_show: MarkNoShow,
        list_sessions: ListTherapySessions,
        statistics: GetStatistics,
        availability: GetAvailability,
        page_tokens: PageTokens,
        actor: Actor,
    ) -> None:
        self._schedule = schedule
        self._get = get
        self._start = start
        self._end = end
        self._cancel = cancel
        self._reschedule = reschedule
        self._mark_no_show = mark_no_show
        self._list = list_sessions
        self._statistics = statistics
        self._availability = availability
        self._page_tokens = page_tokens
        self._actor = actor.user_id

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

    async def RescheduleTherapySession(
        self, request: session_service.RescheduleTherapySessionRequest, context: Context
    ) -> therapy_session_pb2.TherapySession:
        """Moves a session to another time."""
        period = presenters.period_from_proto(request)
        session = await self._reschedule.execute(
            UUID(request.session_id), period=period, reason=request.reason, etag=request.etag
        )
        return presenters.session_to_proto(session)

    async def MarkNoShow(
        self, request: session_service.MarkNoShowRequest, context: Context
    ) -> therapy_session_pb2.TherapySession:
        """Records that the patient did not come."""
        session = await self._mark_no_show.execute(UUID(request.session_id), reason=request.reason)
        return presenters.session_to_proto(session)

    async def ListTherapySessions(
        self, request: session_service.ListTherapySessionsRequest, context: Context
    ) -> session_service.ListTherapySessionsResponse:
        """Lists sessions by the time at which they begin."""
        position = self._page_tokens.open(request=request, actor=self._actor)
        where = presenters.session_filter_from_proto(request)
        page = await self._list.execute(where, after=position, page_size=page_size_of(request.page_size))
        return session_service.ListTherapySessionsResponse(
            sessions=map(presenters.session_to_proto, page.items),
            next_page_token=self._page_tokens.seal(page.end, request=request, actor=self._actor),
        )

    async def GetStatistics(
        self, request: session_service.GetStatisticsRequest, context: Context
    ) -> session_service.TherapySessionStatistics:
        """Counts sessions and their minutes."""
        rows = await self._statistics.execute(presenters.statistics_query_from_proto(request))
        return presenters.statistics_to_proto(rows)

    async def GetAvailability(
        self, request: session_service.GetAvailabilityRequest, context: Context
    ) -> session_service.TherapistAvailability:
        """Returns when a therapist is free."""
        during, minimum = presenters.period_from_proto(request), request.minimum_duration.ToTimedelta()
        availability = await self._availability.execute(UUID(request.therapist_id), during=during, minimum=minimum)
        return presenters.availability_to_proto(availability)


class DisorderServicer(DisorderServiceServicer):
    """Parses, calls, presents."""

    def __init__(
        self,
        *,
        get: GetDisorder,
        list_disorders: ListDisorders,
        search: SearchDisorders,
        page_tokens: PageTokens,
        actor: Actor,
    ) -> None:
        self._get = get
        self._list = list_disorders
        self._search = search
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

    async def SearchDisorders(
        self, request: disorder_service.SearchDisordersRequest, context: Context
    ) -> disorder_service.SearchDisordersResponse:
        """Finds entries of the catalogue by what a person types."""
        limit = page_size_of(request.page_size, default=DEFAULT_MATCHES, maximum=MAXIMUM_MATCHES)
        found = await self._search.execute(request.query, billable_only=request.billable_only, limit=limit)
        return disorder_service.SearchDisordersResponse(matches=map(presenters.match_to_proto, found))


class EmergencyAccessServicer(EmergencyAccessServiceServicer):
    """Parses, calls, presents."""

    def __init__(
        self,
        *,
        begin: BeginEmergencyAccess,
        end: EndEmergencyAccess,
        list_accesses: ListEmergencyAccesses,
        page_tokens: PageTokens,
        actor: Actor,
    ) -> None:
        self._begin = begin
        self._end = end
        self._list = list_accesses
        self._page_tokens = page_tokens
        self._actor = actor.user_id

    async def BeginEmergencyAccess(
        self, request: emergency_service.BeginEmergencyAccessRequest, context: Context
    ) -> emergency_access_pb2.EmergencyAccess:
        """Begins an emergency access."""
        duration = request.duration.ToTimedelta() if request.HasField("duration") else DEFAULT_DURATION
        access = await self._begin.execute(UUID(request.patient_id), reason=request.reason, duration=duration)
        return presenters.access_to_proto(access)

    async def EndEmergencyAccess(
        self, request: emergency_service.EndEmergencyAccessRequest, context: Context
    ) -> emergency_access_pb2.EmergencyAccess:
        """Ends an emergency access."""
        return presenters.access_to_proto(await self._end.execute(UUID(request.access_id)))

    async def ListEmergencyAccesses(
        self, request: emergency_service.ListEmergencyAccessesRequest, context: Context
    ) -> emergency_service.ListEmergencyAccessesResponse:
        """Lists emergency accesses."""
        position = self._page_tokens.open(request=request, actor=self._actor)
        where = presenters.access_filter_from_proto(request)
        page = await self._list.execute(where, after=position, page_size=page_size_of(request.page_size))
        return emergency_service.ListEmergencyAccessesResponse(
            accesses=map(presenters.access_to_proto, page.items),
            next_page_token=self._page_tokens.seal(page.end, request=request, actor=self._actor),
        )
