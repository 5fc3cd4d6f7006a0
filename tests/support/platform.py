"""The whole platform inside a test: real database, real servers, no process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from dishka import Provider, Scope
from sqlalchemy import URL

from aura.kernel.clock import Clock
from aura.kernel.events.relay_settings import RelaySettings
from aura.kernel.host import Host
from aura.kernel.security.internal_identity import Identity, InternalIdentities
from aura.kernel.settings import Settings
from aura.modules import AURA_MODULES
from generated.aura.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from generated.aura.events.v1.event_admin_service_pb2_grpc import EventAdminServiceStub
from generated.aura.mentalhealth.v1.disorder_service_pb2_grpc import DisorderServiceStub
from generated.aura.mentalhealth.v1.therapy_session_pb2 import TherapySession
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ScheduleTherapySessionRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.modules.v1.module_service_pb2_grpc import ModuleServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST, Role
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import CreateUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.support.cluster import KEYS
from tests.support.root import SINGLE, CallerChannel, root_channel, vouched


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


@dataclass
class Platform:
    """Stubs on a TCP channel to a host, on which root calls, and the clock that its modules read.

    `accounts` are called from `outside`, on a channel on which nobody is known who does not say it; `managing` is the
    same service, called by root.
    """

    host: Host
    channel: CallerChannel
    outside: grpc.aio.Channel
    clock: FakeClock

    def __post_init__(self) -> None:
        self.users: Any = UserServiceStub(self.channel)
        self.accounts: Any = AuthenticationServiceStub(self.outside)
        self.managing: Any = AuthenticationServiceStub(self.channel)
        self.sessions: Any = TherapySessionServiceStub(self.channel)
        self.disorders: Any = DisorderServiceStub(self.channel)
        self.events: Any = EventAdminServiceStub(self.channel)
        self.audit: Any = AuditServiceStub(self.channel)
        self.modules: Any = ModuleServiceStub(self.channel)
        self._people = 0

    def acting_as(self, user: User) -> CallerChannel:
        """Returns a channel on which a user calls, with the roles that they were created with."""
        identity = Identity(user=user.user_id, module="", roles=frozenset(map(int, user.roles)))
        return CallerChannel(self.outside, vouched(identity, SINGLE, InternalIdentities(KEYS)))

    async def create_user(self, *roles: Role.ValueType, **fields: Any) -> User:
        self._people += 1
        profile = {"email": f"person{self._people}@example.com", "display_name": f"Person {self._people}"}
        return await self.users.CreateUser(CreateUserRequest(user=User(**{**profile, **fields}, roles=roles)))

    async def create_therapist(self, **fields: Any) -> User:
        return await self.create_user(ROLE_THERAPIST, **fields)

    async def create_patient(self, **fields: Any) -> User:
        return await self.create_user(ROLE_PATIENT, **fields)

    async def booking(self, *, starts_in: timedelta = timedelta(hours=1), minutes: int = 50) -> Any:
        """Returns a request to book a new therapist with a new patient."""
        therapist, patient = await self.create_therapist(), await self.create_patient()
        start = self.clock.now() + starts_in
        return ScheduleTherapySessionRequest(
            therapist_id=therapist.user_id,
            patient_id=patient.user_id,
            start_time=start,
            end_time=start + timedelta(minutes=minutes),
        )

    async def schedule(self, **options: Any) -> TherapySession:
        return await self.sessions.ScheduleTherapySession(await self.booking(**options))


@asynccontextmanager
async def running_platform(
    url: URL,
    folder: Path,
    *,
    overrides: Mapping[str, Sequence[Provider]] | None = None,
    relay_settings: RelaySettings | None = None,
    clock: FakeClock | None = None,
    **settings: Any,
) -> AsyncIterator[Platform]:
    clock = clock or FakeClock(datetime.now(UTC).replace(microsecond=0))
    fake_time = Provider(scope=Scope.APP)
    fake_time.provide(lambda: clock, provides=Clock)
    given = overrides or {}
    host = Host(
        settings=Settings(environment="test", data_dir=folder, port=0, **{"http_port": None} | settings),
        specs=AURA_MODULES,
        database_url=url,
        keys=KEYS,
        overrides={name: (fake_time, *given.get(name, ())) for name in AURA_MODULES},
        relay_settings=relay_settings,
        now=lambda: clock.now().timestamp(),
    )
    await host.start()
    async with root_channel(host.address) as channel, grpc.aio.insecure_channel(host.address) as outside:
        yield Platform(host=host, channel=channel, outside=outside, clock=clock)
    await host.stop(grace=0)
