"""Fills a platform in development with people and sessions, and shows how to call it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from aura.kernel.errors import AlreadyExists
from aura.kernel.module import ModuleSpec
from aura.kernel.platform_client import platform_channel
from aura.kernel.serving import topology_of
from aura.kernel.settings import Environment, Settings, SettingsError
from aura.kernel.topology import Process
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ScheduleTherapySessionRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_OPERATOR, ROLE_PATIENT, ROLE_THERAPIST, Role
from generated.aura.users.v1.authentication_service_pb2 import CreateAccountRequest, LoginRequest, TokenPair
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub

PASSWORD = "only for the demo 7"  # noqa: S105 of people who do not exist
FIRST_HOUR = 9
SESSION = timedelta(minutes=50)
BUF_OPTIONS = "--http2-prior-knowledge --protocol grpc"
LIST_SESSIONS = "aura.mentalhealth.v1.TherapySessionService/ListTherapySessions"


@dataclass(frozen=True)
class Person:
    """Somebody made up."""

    name: str
    role: Role.ValueType

    @property
    def email(self) -> str:
        """Their address."""
        return f"{self.name.split()[-1].lower()}@example.com"


THERAPISTS = [Person(name, ROLE_THERAPIST) for name in ("Tilda Brandt", "Tarek Haddad", "Tove Lindqvist")]
PATIENTS = [
    Person(name, ROLE_PATIENT)
    for name in ("Paula Keller", "Pim de Vries", "Petra Novak", "Pablo Ortiz", "Pia Salonen", "Padma Rao")
]
STAFF = [Person("Alma Demoadmin", ROLE_ADMIN), Person("Oskar Demooperator", ROLE_OPERATOR)]


async def fill(settings: Settings, specs: Mapping[str, ModuleSpec]) -> str:
    """Fills the platform that runs with these settings; returns what to show. Filling it again adds nothing but time.

    Raises:
        SettingsError: The platform is not in development.
        AuraError: It does not run.
    """
    if settings.environment is not Environment.DEVELOPMENT:
        raise SettingsError("the demo is for AURA_ENVIRONMENT=development only: everybody can know its passwords")
    async with platform_channel(settings, specs, "users") as channel:
        kernel = AuthenticationServiceStub(channel)
        for person in (*STAFF, *THERAPISTS, *PATIENTS):
            request = CreateAccountRequest(
                email=person.email, display_name=person.name, roles=[person.role], password=PASSWORD
            )
            try:
                await kernel.CreateAccount(request)
            except AlreadyExists:
                continue
    process = topology_of(settings, specs).host_of("users")
    address = process.address
    async with grpc.aio.insecure_channel(address) as outside:
        authentication = AuthenticationServiceStub(outside)
        everybody = (*STAFF, *THERAPISTS, *PATIENTS)
        tokens = {
            person: await authentication.Login(LoginRequest(email=person.email, password=PASSWORD))
            for person in everybody
        }
        booked = await _book(TherapySessionServiceStub(outside), tokens)
    return "\n".join([*_lines(address, tokens, booked), *_by_rest(process, tokens)])


async def _book(sessions: Any, tokens: Mapping[Person, TokenPair]) -> int:
    """Books a session for each patient tomorrow; returns how many were free."""
    tomorrow = datetime.now(UTC).replace(hour=FIRST_HOUR, minute=0, second=0, microsecond=0) + timedelta(days=1)
    metadata = (("authorization", f"Bearer {tokens[STAFF[0]].access_token}"),)
    booked = 0
    for number, patient in enumerate(PATIENTS):
        therapist = THERAPISTS[number % len(THERAPISTS)]
        start = tomorrow + timedelta(hours=number // len(THERAPISTS))
        request = ScheduleTherapySessionRequest(
            therapist_id=tokens[therapist].user_id,
            patient_id=tokens[patient].user_id,
            start_time=_timestamp(start),
            end_time=_timestamp(start + SESSION),
        )
        try:
            await sessions.ScheduleTherapySession(request, metadata=metadata)
            booked += 1
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION}:
                raise
    return booked


def _lines(address: str, tokens: Mapping[Person, TokenPair], booked: int) -> Sequence[str]:
    therapist, patient = THERAPISTS[0], PATIENTS[0]
    lines = [
        f"{len(tokens)} people, all with the password: {PASSWORD}",
        f"{booked} sessions booked for tomorrow",
        "",
        "access tokens, for five minutes:",
    ]
    lines += [f"  {person.email:<28} {tokens[person].access_token}" for person in (*STAFF, therapist, patient)]
    token, method = tokens[STAFF[0]].access_token, "aura.users.v1.UserService/GetUser"
    data = f'\'{{"user_id": "{tokens[therapist].user_id}"}}\''
    own, calendar = tokens[therapist].access_token, f'\'{{"therapist_id": "{tokens[therapist].user_id}"}}\''
    return [
        *lines,
        "",
        "who the first therapist is:",
        f"  grpcurl -plaintext -H 'authorization: Bearer {token}' -d {data} {address} {method}",
        f"  buf curl {BUF_OPTIONS} -H 'authorization: Bearer {token}' -d {data} http://{address}/{method}",
        "",
        "the therapist's calendar:",
        f"  grpcurl -plaintext -H 'authorization: Bearer {own}' -d {calendar} {address} {LIST_SESSIONS}",
    ]


def _by_rest(process: Process, tokens: Mapping[Person, TokenPair]) -> Sequence[str]:
    """Returns how the same is asked over HTTP, if that is served at a port that is known."""
    if not process.http_port:
        return []
    url = f"http://{process.address.rpartition(':')[0]}:{process.http_port}"
    token, therapist = tokens[STAFF[0]].access_token, tokens[THERAPISTS[0]].user_id
    return [
        "",
        f"over REST, which {url}/docs shows in a browser:",
        f"  curl -H 'authorization: Bearer {token}' {url}/api/users/{therapist}",
    ]


def _timestamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def show(settings: Settings, specs: Mapping[str, ModuleSpec]) -> str:
    """Fills the platform, and returns what to show."""
    return asyncio.run(fill(settings, specs))
