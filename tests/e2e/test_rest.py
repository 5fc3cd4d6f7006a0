"""The REST lines that the product was asked for, over real HTTP, in one process and split."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from aura.kernel.topology import Topology
from tests.partitions.partitions import launched, topology_of
from tests.support.cluster import Cluster
from tests.support.ports import free_port

NOW = timedelta(0)
CANCELLED = {"cancelledBy": "CANCELLING_PARTY_THERAPIST", "reason": "is ill"}
SESSIONS = "/api/mental-health/therapy-sessions"


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Rest:
    """Asks a server: with an access token if there is one, and with a slash at the end of each path if asked to."""

    url: str
    slash: bool = False
    token: str = ""

    def __call__(self, verb: str, path: str, body: Any = None, **headers: str) -> Answer:
        path, _, query = path.partition("?")
        target = f"{self.url}{path}{'/' if self.slash else ''}{'?' if query else ''}{query}"
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            given["authorization"] = f"Bearer {self.token}"
        if body is not None:
            given["content-type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(target, data=data, headers=given, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=20) as got:
                return Answer(got.status, _read(got), dict(got.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _read(error), dict(error.headers))

    def log_in(self, email: str, password: str) -> Answer:
        answer = self("POST", "/api/auth/login", {"email": email, "password": password})
        self.token = answer.body.get("accessToken", "")
        return answer


def _read(answer: Any) -> Any:
    text = answer.read()
    return json.loads(text) if text else None


SPREADS = {"one process": (("users", "mentalhealth"),), "two processes": (("users",), ("mentalhealth",))}


@pytest.fixture(scope="module", params=SPREADS)
def server(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """A platform that has just been set up: the URL of its last process, and the first admin's password."""
    folder = tmp_path_factory.mktemp("rest")
    spread = topology_of(SPREADS[request.param])
    processes = {name: replace(each, http_port=free_port()) for name, each in spread.processes.items()}
    with asyncio.Runner() as runner, ExitStack() as stack:
        clone = cluster.clone()
        url = cluster.url(runner.run(clone.__aenter__()))
        settings = {"environment": "development", "password_memory_kib": 8192}
        topology = Topology(processes=processes)
        servers = stack.enter_context(launched(topology, url=url, folder=folder, arguments=("server.py",), **settings))
        passwords = [re.search(r"password:\s+(\S+)", each.wait_until_serving().logs()) for each in servers]
        yield servers[-1].http_address, next(found[1] for found in passwords if found)
        stack.close()
        runner.run(clone.__aexit__(None, None, None))


@pytest.fixture(params=[False, True], ids=["bare", "with a slash"])
def rest(request: pytest.FixtureRequest, server: tuple[str, str]) -> Rest:
    url, password = server
    rest = Rest(url, slash=request.param)
    assert rest.log_in("admin@example.com", password).status == 200
    return rest


@pytest.fixture
def person(rest: Rest) -> Callable[[str], dict[str, Any]]:
    """Creates people."""

    def create(role: str) -> dict[str, Any]:
        body = {"email": f"{uuid4()}@example.com", "displayName": "Pia", "roles": [role], "timeZone": "Europe/Berlin"}
        answer = rest("POST", "/api/users", body)
        assert answer.status == 200, answer.body
        return answer.body

    return create


def booking(person: Callable[[str], dict[str, Any]], *, starts_in: timedelta = NOW) -> dict[str, Any]:
    start = datetime.now(UTC) + starts_in
    return {
        "therapistId": person("ROLE_THERAPIST")["userId"],
        "patientId": person("ROLE_PATIENT")["userId"],
        "startTime": start.isoformat(),
        "endTime": (start + timedelta(minutes=50)).isoformat(),
    }


# The lines on users


def test_users_are_created_read_listed_and_updated(rest: Rest):
    body = {"email": f"{uuid4()}@example.com", "displayName": "Pia", "roles": ["ROLE_PATIENT"]}
    key = str(uuid4())
    created = rest("POST", "/api/users", body, idempotency_key=key)
    again = rest("POST", "/api/users", body, idempotency_key=key)
    path = f"/api/users/{created.body['userId']}"
    read = rest("GET", path)
    put = rest("PUT", path, {**body, "displayName": "Pia B."}, if_match=read.headers["etag"])
    patched = rest("PATCH", path, {"locale": "de"})
    listed = rest("GET", f"/api/users?emailPrefix={body['email']}&pageSize=1")

    assert [answer.status for answer in (created, again, read, put, patched, listed)] == [200] * 6
    assert again.body == created.body == read.body
    assert read.headers["etag"] == f'"{read.body["etag"]}"'
    assert (put.body["displayName"], put.body["locale"]) == ("Pia B.", "en")
    assert (patched.body["displayName"], patched.body["locale"]) == ("Pia B.", "de")
    assert listed.body["users"] == [patched.body]


def test_what_has_not_changed_is_not_sent_again(rest: Rest, person: Callable[[str], dict[str, Any]]):
    path = f"/api/users/{person('ROLE_PATIENT')['userId']}"
    tag = rest("GET", path).headers["etag"]

    for known in (tag, f'"other",{" " * 8000}W/{tag}', "*"):
        answer = rest("GET", path, if_none_match=known)

        assert (answer.status, answer.body, answer.headers["etag"]) == (304, None, tag)
        assert {"content-length", "content-type"}.isdisjoint(answer.headers)
    assert rest("GET", path, if_none_match='"other"').status == 200


def test_put_replaces_and_patch_changes(rest: Rest, person: Callable[[str], dict[str, Any]]):
    user = person("ROLE_PATIENT")
    path = f"/api/users/{user['userId']}"

    patched = rest("PATCH", path, {"displayName": "Other"}).body
    replaced = rest("PUT", path, {"email": user["email"], "displayName": "Other"}).body

    assert (patched["timeZone"], replaced["timeZone"]) == ("Europe/Berlin", "UTC")


def test_an_update_of_another_version_is_refused(rest: Rest, person: Callable[[str], dict[str, Any]]):
    user = person("ROLE_PATIENT")

    answer = rest("PATCH", f"/api/users/{user['userId']}", {"displayName": "Other"}, if_match='"99"')

    assert (answer.status, answer.body["details"][0]["reason"]) == (409, "ETAG_MISMATCH")


# The lines on mental health


def test_a_session_is_scheduled_started_and_ended(rest: Rest, person: Callable[[str], dict[str, Any]]):
    scheduled = rest("POST", SESSIONS, booking(person))
    path = f"{SESSIONS}/{scheduled.body['sessionId']}"
    started = rest("POST", f"{path}/start_session")
    ended = rest("POST", f"{path}/end_session", {"reason": "all is well"})
    read = rest("GET", path)

    assert [answer.status for answer in (scheduled, started, ended, read)] == [200] * 4
    assert [answer.body["state"].removeprefix("THERAPY_SESSION_STATE_") for answer in (scheduled, started, ended)] == [
        "SCHEDULED",
        "IN_PROGRESS",
        "COMPLETED",
    ]
    assert read.body == ended.body


def test_a_session_is_cancelled_by_either_of_its_paths(rest: Rest, person: Callable[[str], dict[str, Any]]):
    verb = "" if rest.slash else ":cancel"  # no slash follows a verb
    for action in filter(None, ("/cancel_session", verb)):
        scheduled = rest("POST", SESSIONS, booking(person, starts_in=timedelta(days=1)))

        cancelled = rest("POST", f"{SESSIONS}/{scheduled.body['sessionId']}{action}", CANCELLED)

        assert cancelled.body["state"] == "THERAPY_SESSION_STATE_CANCELLED", cancelled.body


def test_the_statistics_and_the_availability(rest: Rest, person: Callable[[str], dict[str, Any]]):
    given = booking(person, starts_in=timedelta(days=2))
    rest("POST", SESSIONS, given)
    day = datetime.fromisoformat(given["startTime"]).date()
    until = day + timedelta(days=2)
    days = "&".join(
        f"{name}.year={date.year}&{name}.month={date.month}&{name}.day={date.day}"
        for name, date in (("startDate", day), ("endDate", until))
    )

    statistics = rest("GET", f"{SESSIONS}/statistics?{days}&therapistId={given['therapistId']}")
    availability = rest(
        "GET",
        f"{SESSIONS}/availability?therapistId={given['therapistId']}&startTime={day}T00:00:00Z&endTime={until}T00:00:00Z",
    )

    assert statistics.status == 200, statistics.body
    assert statistics.body["total"]["scheduled"] == 1, statistics.body
    assert availability.status == 200, availability.body


def test_the_disorders_are_listed_and_searched(rest: Rest):
    listed = rest("GET", "/api/mental-health/disorders?pageSize=5")
    found = rest("GET", "/api/mental-health/disorders/search?query=depressive")
    read = rest("GET", "/api/mental-health/disorders/F33.1")

    assert len(listed.body["disorders"]) == 5
    assert listed.body["nextPageToken"]
    assert "depressive" in json.dumps(found.body).lower()
    assert read.body["title"] == "Major depressive disorder, recurrent, moderate"


# What is there besides


def test_errors_are_those_of_grpc(rest: Rest, person: Callable[[str], dict[str, Any]]):
    given = booking(person, starts_in=timedelta(days=1))
    rest("POST", SESSIONS, given)

    overlaps = rest("POST", SESSIONS, given)
    missing = rest("GET", f"{SESSIONS}/01980000-0000-7000-8000-000000000000", x_request_id="mine")
    wrong = rest("POST", SESSIONS, {**given, "endTime": given["startTime"]})
    rest.token = "x.y.z"
    refused = rest("GET", SESSIONS)
    rest.token = ""
    nobody = rest("GET", SESSIONS)

    assert (overlaps.status, overlaps.body["details"][0]["reason"]) == (400, "SESSION_OVERLAPS")
    assert (missing.status, missing.headers["x-request-id"]) == (404, "mine")
    assert (wrong.status, wrong.body["code"]) == (400, 3)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert (nobody.status, nobody.headers["www-authenticate"]) == (401, "Bearer")


def test_events_are_a_stream_of_lines(rest: Rest, server: tuple[str, str]):
    admin = rest("GET", "/api/users?emailPrefix=admin@").body["users"][0]["userId"]
    if "ROLE_OPERATOR" not in rest("GET", f"/api/users/{admin}").body["roles"]:
        if rest.slash:
            pytest.skip("the other one has granted it")
        rest("POST", f"/api/users/{admin}:grantRole", {"role": "ROLE_OPERATOR", "reason": "runs this"})
    rest.log_in("admin@example.com", server[1])
    request = urllib.request.Request(f"{rest.url}/api/events:tail", headers={"authorization": f"Bearer {rest.token}"})

    with urllib.request.urlopen(request, timeout=20) as stream:
        body = {"email": f"{uuid4()}@example.com", "displayName": "Pia", "roles": ["ROLE_PATIENT"]}
        created = rest("POST", "/api/users", body).body
        line = json.loads(stream.readline())

    assert stream.headers["content-type"] == "application/x-ndjson"
    assert line["result"]["subject"] == created["userId"]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/healthz", 200, "application/json"),
        ("/readyz", 200, "application/json"),
        ("/metrics", 200, "text/plain"),
        ("/.well-known/jwks.json", 200, "application/json"),
        ("/api/nothing", 404, "application/json"),
    ],
)
def test_what_balancers_and_operators_look_at(server: tuple[str, str], path: str, status: int, kind: str):
    try:
        with urllib.request.urlopen(f"{server[0]}{path}", timeout=10) as got:
            seen = got.status, got.headers["content-type"]
    except urllib.error.HTTPError as error:
        with error:
            seen = error.code, error.headers["content-type"]

    assert seen[0] == status
    assert seen[1].startswith(kind)


def test_login_sessions_show_the_program_and_the_address_that_logged_in(rest: Rest):
    admin = rest("GET", "/api/users?emailPrefix=admin@").body["users"][0]["userId"]

    sessions = rest("GET", f"/api/auth/users/{admin}/sessions").body

    assert any(each["userAgent"].startswith("Python-urllib/") for each in sessions["sessions"]), sessions
