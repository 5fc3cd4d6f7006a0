"""What the platform promises across its modules, played from outside: every call of the contracts, right and wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import ParseDict

from tests.partitions.partitions import Spread
from tests.partitions.transcript import Transcript
from tests.support.accounts import PASSWORD, bearer

ABSENT = "01900000-0000-7000-8000-000000000000"
SERVICES = {
    "users": "aura.users.v1.UserService",
    "accounts": "aura.users.v1.AuthenticationService",
    "sessions": "aura.mentalhealth.v1.TherapySessionService",
    "disorders": "aura.mentalhealth.v1.DisorderService",
}

MANAGING = {"CreateServiceClient", "RevokeServiceClient", "RotateSigningKey", "ListLoginSessions"}


class Client:
    """Makes calls, each through the next process, and notes them."""

    def __init__(self, spread: Spread, transcript: Transcript) -> None:
        self._spread = spread
        self._transcript = transcript
        self._numbers = itertools.count()
        self._begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=2)

    async def ask(self, service: str, method: str, *, token: str = "", **fields: Any) -> Any:
        """Makes a unary call and notes it; the fields are as in JSON. Returns the answer."""
        number = next(self._numbers)
        call = self._call(number, service, method, fields, metadata=bearer(token) if token else [])
        return await self._transcript.call(f"{number} {method}", call)

    async def code(self, service: str, method: str, **fields: Any) -> str:
        """Makes a unary call; returns its code only."""
        call = self._call(next(self._numbers), service, method, fields, request_id="at-once")
        code: grpc.StatusCode = await call.code()
        return code.name

    def note(self, name: str, value: object) -> None:
        """Notes something else."""
        self._transcript.note(name, value)

    def _call(
        self,
        number: int,
        service: str,
        method: str,
        fields: dict[str, Any],
        *,
        request_id: str = "",
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Any:
        name = SERVICES[service]
        described = descriptor_pool.Default().FindServiceByName(name).methods_by_name[method]
        request = ParseDict(fields, message_factory.GetMessageClass(described.input_type)())
        answer = message_factory.GetMessageClass(described.output_type)
        # Nobody is known to whom the accounts let in, but for those who manage them.
        is_open = bool(metadata) or (service == "accounts" and method not in MANAGING)
        channel = self._spread.outside(number) if is_open else self._spread.channel(number)
        call = channel.unary_unary(
            f"/{name}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call(request, timeout=20, metadata=(("x-request-id", request_id or f"request-{number}"), *metadata))

    def at(self, hours: float) -> str:
        """A time of the day after tomorrow, as JSON has it."""
        return (self._begin + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


Settle = Callable[[], Awaitable[None]]
SetPassword = Callable[[str], Awaitable[None]]


async def play(spread: Spread, transcript: Transcript, settle: Settle, set_password: SetPassword) -> None:
    """Plays everything; `settle` waits until all events have been handled, `set_password` gives a user a password."""
    client = Client(spread, transcript)
    people = await users(client)
    await set_password(people[1])
    await accounts(client, people[1])
    await bookings(client, *people)
    await refusals(client, *people)
    await disorders(client)
    await at_once(client, *people)
    await events(client, *people, settle)


async def users(client: Client) -> tuple[str, str]:
    """Makes a therapist and a patient, and changes people in every way."""
    made = [
        await client.ask(
            "users",
            "CreateUser",
            user={"email": f"{name}@example.com", "displayName": name.title(), "roles": [role], "timeZone": zone},
            requestId=f"make-{name}",
        )
        for name, role, zone in (
            ("tess", "ROLE_THERAPIST", "Europe/Paris"),
            ("pia", "ROLE_PATIENT", "UTC"),
            ("otto", "ROLE_PATIENT", "UTC"),
        )
    ]
    therapist, patient, other = (user.user_id for user in made)
    user = {"email": "tess@example.com", "displayName": "Tess", "roles": ["ROLE_THERAPIST"], "timeZone": "Europe/Paris"}
    await client.ask("users", "CreateUser", user=user, requestId="make-tess")
    await client.ask("users", "CreateUser", user=user, requestId="make-pia")
    await client.ask("users", "CreateUser", user=user)
    await client.ask("users", "CreateUser", user={"email": "nobody", "displayName": "", "roles": []})
    await client.ask("users", "GetUser", userId=patient)
    await client.ask("users", "GetUser", userId=ABSENT)
    await client.ask("users", "GetUser", userId="me")
    await client.ask("users", "BatchGetUsers", userIds=[other, therapist])
    await client.ask("users", "BatchGetUsers", userIds=[other, ABSENT])
    page = await client.ask("users", "ListUsers", pageSize=2)
    await client.ask("users", "ListUsers", pageSize=2, pageToken=page.next_page_token)
    await client.ask("users", "ListUsers", pageSize=3, role="ROLE_PATIENT", pageToken=page.next_page_token)
    await client.ask("users", "ListUsers", displayNamePrefix="T", orderBy="USER_ORDER_DISPLAY_NAME")
    await client.ask(
        "users", "UpdateUser", user={"userId": patient, "displayName": "Pia P.", "etag": "1"}, updateMask="displayName"
    )
    await client.ask(
        "users", "UpdateUser", user={"userId": patient, "displayName": "X", "etag": "1"}, updateMask="displayName"
    )
    await client.ask("users", "UpdateUser", user={"userId": patient, "roles": ["ROLE_ADMIN"]}, updateMask="roles")
    await client.ask("users", "GrantRole", userId=other, role="ROLE_SUPPORT", reason="helps out")
    await client.ask("users", "GrantRole", userId=other, role="ROLE_SUPPORT", reason="again")
    await client.ask("users", "RevokeRole", userId=other, role="ROLE_SUPPORT", reason="no more")
    await client.ask("users", "RevokeRole", userId=other, role="ROLE_PATIENT", reason="the last one")
    await client.ask("users", "DeactivateUser", userId=other, reason="moved away")
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, other, 0))
    await client.ask("users", "ReactivateUser", userId=other, reason="came back")
    return therapist, patient


async def accounts(client: Client, patient: str) -> None:
    """Has people prove who they are, through one process after the other, and fail to."""
    pia = {"email": "Pia@example.com", "password": PASSWORD}
    await client.ask("accounts", "Login", **{**pia, "password": "wrong"})
    await client.ask("accounts", "Login", email="nobody@example.com", password="wrong")
    await client.ask("accounts", "Login", email="", password="x" * 300)
    tokens = await client.ask("accounts", "Login", **pia)
    for token in (tokens.access_token, f"{tokens.access_token[:-40]}{'A' * 40}", "nonsense"):
        for _ in range(2):  # by way of each process of two
            await client.ask("users", "GetUser", token=token, userId=patient)
            await client.ask("sessions", "ListTherapySessions", token=token, patientId=patient)
    await client.ask("accounts", "ListLoginSessions", token=tokens.access_token, userId=patient)
    renewed = await client.ask("accounts", "RefreshToken", refreshToken=tokens.refresh_token)
    await client.ask("accounts", "RefreshToken", refreshToken=tokens.refresh_token)
    changed = await client.ask(
        "accounts",
        "ChangePassword",
        token=renewed.access_token,
        currentPassword=PASSWORD,
        newPassword="it is pia@example.com",
    )
    assert changed is None, "a password with the own name was taken"
    await client.ask("accounts", "EnrollTotp", token=renewed.access_token, password="wrong")
    await client.ask("accounts", "Logout")
    await client.ask("accounts", "Logout", token=renewed.access_token)
    await client.ask("accounts", "RefreshToken", refreshToken=renewed.refresh_token)
    await client.ask("accounts", "Register", email="new@example.com", password="password1", displayName="New")
    await client.ask("accounts", "Register", email="new@example.com", password="a quiet lake", displayName="New")
    await client.ask("accounts", "VerifyEmail", email="new@example.com", code="WRONG", password="wrong")
    await client.ask("accounts", "CreateAccount", email="me@example.com", displayName="Me", roles=["ROLE_ADMIN"])
    disorders_only = {"displayName": "catalogue", "services": [SERVICES["disorders"]]}
    program = await client.ask("accounts", "CreateServiceClient", **disorders_only)
    secret = {"clientId": program.client_id, "clientSecret": program.client_secret}
    await client.ask("accounts", "IssueServiceToken", **{**secret, "clientSecret": "wrong"})
    issued = await client.ask("accounts", "IssueServiceToken", **secret)
    for _ in range(2):
        await client.ask("disorders", "GetDisorder", token=issued.access_token, code="F32.1")
        await client.ask("users", "GetUser", token=issued.access_token, userId=patient)
    await client.ask("accounts", "GetJwks")


async def bookings(client: Client, therapist: str, patient: str) -> None:
    """Books, moves, cancels and counts."""
    first = await client.ask(
        "sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, 1), requestId="one"
    )
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, 1), requestId="one")
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, 2), requestId="one")
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, 1.5))
    second = await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, 3))
    moved = {"startTime": client.at(5), "endTime": client.at(6)}
    await client.ask(
        "sessions", "RescheduleTherapySession", sessionId=first.session_id, **moved, reason="later", etag="1"
    )
    await client.ask(
        "sessions", "RescheduleTherapySession", sessionId=first.session_id, **moved, reason="later", etag="1"
    )
    week = {"startTime": client.at(0), "endTime": client.at(7 * 24)}
    await client.ask("sessions", "GetAvailability", therapistId=therapist, **week, minimumDuration="7200s")
    onto = {"startTime": client.at(3.5), "endTime": client.at(4)}
    await client.ask("sessions", "RescheduleTherapySession", sessionId=first.session_id, **onto, reason="no")
    await client.ask("sessions", "StartTherapySession", sessionId=first.session_id)
    await client.ask("sessions", "EndTherapySession", sessionId=first.session_id)
    await client.ask("sessions", "MarkNoShow", sessionId=first.session_id)
    cancel = {"sessionId": second.session_id, "cancelledBy": "CANCELLING_PARTY_PATIENT", "reason": "ill"}
    await client.ask("sessions", "CancelTherapySession", **cancel, requestId="cancel")
    await client.ask("sessions", "CancelTherapySession", **cancel, requestId="cancel")
    await client.ask("sessions", "CancelTherapySession", **cancel)
    await client.ask("sessions", "GetTherapySession", sessionId=second.session_id)
    page = await client.ask("sessions", "ListTherapySessions", pageSize=1, therapistId=therapist)
    await client.ask(
        "sessions", "ListTherapySessions", pageSize=1, therapistId=therapist, pageToken=page.next_page_token
    )
    await client.ask("sessions", "ListTherapySessions", patientId=patient, states=["THERAPY_SESSION_STATE_CANCELLED"])


async def refusals(client: Client, therapist: str, patient: str) -> None:
    """Asks for what is refused, with and without the other module having a say in it."""
    for person in ({"therapist": ABSENT}, {"patient": ABSENT}, {"therapist": patient}, {"patient": therapist}):
        people = {"therapist": therapist, "patient": patient, **person}
        await client.ask(
            "sessions", "ScheduleTherapySession", **_booking(client, people["therapist"], people["patient"], 8)
        )
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, -72))
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, therapist, 9))
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, 9, hours=30))
    await client.ask("sessions", "ScheduleTherapySession", therapistId="?")
    await client.ask("sessions", "GetTherapySession", sessionId=ABSENT)
    await client.ask("sessions", "ListTherapySessions", pageToken="nonsense")
    await client.ask("sessions", "ListTherapySessions", pageSize=-1)
    await client.ask("sessions", "GetStatistics", timeZone="Mars/Olympus")
    for nobody in (ABSENT, patient):
        times = {"startTime": client.at(0), "endTime": client.at(1)}
        await client.ask("sessions", "GetAvailability", therapistId=nobody, **times)


async def disorders(client: Client) -> None:
    """Looks things up."""
    await client.ask("disorders", "GetDisorder", code="F33.1")
    await client.ask("disorders", "GetDisorder", code="Z")
    await client.ask("disorders", "SearchDisorders", query="ptsd", pageSize=3)
    await client.ask("disorders", "ListDisorders", parentCode="F33", pageSize=4)


async def events(client: Client, therapist: str, patient: str, settle: Settle) -> None:
    """Sees that who is deactivated is taken off the calendar, and can be booked again later."""
    booked = [
        await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, hours))
        for hours in (40, 42, 44)
    ]
    await client.ask("users", "DeactivateUser", userId=patient, reason="moved away")
    await settle()
    for session in booked:
        await client.ask("sessions", "GetTherapySession", sessionId=session.session_id)
    await client.ask("users", "ReactivateUser", userId=patient, reason="came back")
    await settle()
    await client.ask("sessions", "ScheduleTherapySession", **_booking(client, therapist, patient, 40))


async def at_once(client: Client, therapist: str, patient: str) -> None:
    """Of twenty who want one time at once, one gets it."""
    booking = _booking(client, therapist, patient, 20)
    answers = await asyncio.gather(*(client.code("sessions", "ScheduleTherapySession", **booking) for _ in range(20)))
    client.note("at once", sorted(answers))


def _booking(client: Client, therapist: str, patient: str, start: float, *, hours: float = 1) -> dict[str, str]:
    return {
        "therapistId": therapist,
        "patientId": patient,
        "startTime": client.at(start),
        "endTime": client.at(start + hours),
    }
