"""The mental health module's one door."""

from __future__ import annotations

from collections.abc import Sequence

from dishka import Provider, Scope, provide

from aura.kernel.audit import AuditTrail
from aura.kernel.database import Database
from aura.kernel.events.bus import EventBus
from aura.kernel.module import ServiceRegistrar
from aura.kernel.registry import ModuleServices
from aura.kernel.security.actor import Actor
from aura.mentalhealth.api.servicers import DisorderServicer, EmergencyAccessServicer, TherapySessionServicer
from aura.mentalhealth.api.subscribers import UserDeactivatedSubscriber, UserReactivatedSubscriber
from aura.mentalhealth.api.viewers import viewer_of
from aura.mentalhealth.application.change_therapy_session import ChangeTherapySession
from aura.mentalhealth.application.emergencies import Emergencies
from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.application.interfaces.calendars import Calendars
from aura.mentalhealth.application.interfaces.session_statistics import SessionStatistics
from aura.mentalhealth.application.interfaces.unit_of_work import UnitOfWork
from aura.mentalhealth.application.interfaces.user_directory import UserDirectory
from aura.mentalhealth.application.suggest_times import SuggestTimes
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
from aura.mentalhealth.application.use_cases.readmit_user import ReadmitUser
from aura.mentalhealth.application.use_cases.release_user import ReleaseUser
from aura.mentalhealth.application.use_cases.reschedule_therapy_session import RescheduleTherapySession
from aura.mentalhealth.application.use_cases.schedule_therapy_session import ScheduleTherapySession
from aura.mentalhealth.application.use_cases.search_disorders import SearchDisorders
from aura.mentalhealth.application.use_cases.start_therapy_session import StartTherapySession
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderRepository
from aura.mentalhealth.domain.repositories.emergency_access_repository import EmergencyAccessRepository
from aura.mentalhealth.domain.repositories.therapy_session_repository import TherapySessionRepository
from aura.mentalhealth.infrastructure.external.user_directory import GrpcUserDirectory
from aura.mentalhealth.infrastructure.repositories.access_audit import PostgresAccessAudit
from aura.mentalhealth.infrastructure.repositories.calendars import PostgresCalendars
from aura.mentalhealth.infrastructure.repositories.disorder_repository import PostgresDisorderRepository
from aura.mentalhealth.infrastructure.repositories.emergency_access_repository import PostgresEmergencyAccessRepository
from aura.mentalhealth.infrastructure.repositories.session_statistics import PostgresSessionStatistics
from aura.mentalhealth.infrastructure.repositories.therapy_session_repository import PostgresTherapySessionRepository
from aura.mentalhealth.infrastructure.unit_of_work import PostgresUnitOfWork
from generated.aura.users.v1.events_pb2 import UserDeactivated, UserReactivated
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub


class InfrastructureProvider(Provider):
    """The adapters behind the module's ports."""

    scope = Scope.APP

    @provide
    def sessions(self, database: Database) -> TherapySessionRepository:
        """The sessions, each read a transaction of its own."""
        return PostgresTherapySessionRepository(database.execute)

    @provide
    def calendars(self, database: Database) -> Calendars:
        """When people are busy."""
        return PostgresCalendars(database.execute)

    @provide
    def statistics(self, database: Database) -> SessionStatistics:
        """The counts of sessions."""
        return PostgresSessionStatistics(database.execute)

    @provide
    def emergency_accesses(self, database: Database) -> EmergencyAccessRepository:
        """The emergency accesses."""
        return PostgresEmergencyAccessRepository(database.execute)

    @provide
    def disorders(self, database: Database) -> DisorderRepository:
        """The catalogue."""
        return PostgresDisorderRepository(database.execute)

    @provide
    def access_audit(self, audit_trail: AuditTrail) -> AccessAudit:
        """Who was shown which sessions."""
        return PostgresAccessAudit(audit_trail=audit_trail)

    @provide
    def users(self, services: ModuleServices) -> UserDirectory:
        """The users module, through its contract."""
        return GrpcUserDirectory(stub=services.stub(UserServiceStub))

    unit_of_work = provide(PostgresUnitOfWork, provides=UnitOfWork, scope=Scope.REQUEST)


class ApplicationProvider(Provider):
    """The use cases and the servicers."""

    scope = Scope.REQUEST

    @provide
    def viewer(self, actor: Actor) -> Viewer:
        """Who makes the call, as the module's rules see them."""
        return viewer_of(actor)

    emergencies = provide(Emergencies)
    begin_emergency = provide(BeginEmergencyAccess)
    end_emergency = provide(EndEmergencyAccess)
    list_emergencies = provide(ListEmergencyAccesses)
    emergency_servicer = provide(EmergencyAccessServicer)
    change = provide(ChangeTherapySession)
    suggest = provide(SuggestTimes)
    schedule = provide(ScheduleTherapySession)
    get = provide(GetTherapySession)
    start = provide(StartTherapySession)
    end = provide(EndTherapySession)
    cancel = provide(CancelTherapySession)
    reschedule = provide(RescheduleTherapySession)
    mark_no_show = provide(MarkNoShow)
    list_sessions = provide(ListTherapySessions)
    statistics = provide(GetStatistics)
    availability = provide(GetAvailability)
    get_disorder = provide(GetDisorder)
    list_disorders = provide(ListDisorders)
    search_disorders = provide(SearchDisorders)
    release = provide(ReleaseUser)
    readmit = provide(ReadmitUser)
    deactivated_subscriber = provide(UserDeactivatedSubscriber)
    reactivated_subscriber = provide(UserReactivatedSubscriber)
    session_servicer = provide(TherapySessionServicer)
    disorder_servicer = provide(DisorderServicer)


class MentalHealthModule:
    """Books therapy sessions and knows the disorders."""

    def providers(self) -> Sequence[Provider]:
        """Returns the providers of everything the servicers need."""
        return (InfrastructureProvider(), ApplicationProvider())

    def register_services(self, registrar: ServiceRegistrar) -> None:
        """Registers the module's servicers."""
        registrar.register(TherapySessionServicer)
        registrar.register(DisorderServicer)
        registrar.register(EmergencyAccessServicer)

    def subscribe_to_events(self, event_bus: EventBus) -> None:
        """Subscribes to what becomes of users."""
        event_bus.subscribe(UserDeactivated, UserDeactivatedSubscriber)
        event_bus.subscribe(UserReactivated, UserReactivatedSubscriber)
