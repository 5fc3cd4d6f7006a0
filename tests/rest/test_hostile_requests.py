"""Whatever is sent to it, the platform says what is wrong and nothing else, and goes on."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import URL

from tests.gateway.client import Answer
from tests.rest.hostile import NOT_THERE, PUBLIC, SECRET, Hostile, Request
from tests.rest.load import Findings, faults_of, send_all
from tests.support.rest import HttpRequest, ask
from tests.support.rest_platform import SPREADS, RestPlatform, rest_platform

FEW, MANY = 1_500, 50_000
"""How many requests each way to spread the platform gets."""
WARM_UP = 500
MOST_GROWTH = 128 * 1024 * 1024
"""By how many bytes the memory of a process may grow: its caches and pools fill up, and then no more."""
FAILURES = re.compile(
    r'Traceback|the gateway failed|never retrieved|Exception in|Unhandled|"level": ?"(?:error|critical)'
)
SHOWN = 5

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(params=SPREADS)
async def platform(request: pytest.FixtureRequest, database_url: URL, tmp_path: Path) -> AsyncIterator[RestPlatform]:
    async with rest_platform(request.param, url=database_url, folder=tmp_path) as platform:
        yield platform


@pytest.fixture(scope="module")
def totals() -> Counter[str]:
    return Counter()


async def test_hostile_requests_are_refused_and_nothing_comes_of_them(
    platform: RestPlatform, request: pytest.FixtureRequest, totals: Counter[str], record_figure: Any
):
    count = MANY if request.config.getoption("--prove") else FEW
    token = await platform.new_token()
    hostile = Hostile(seed=20_260, ids=await things_of_others(platform, token), tokens=[token])
    findings = Findings()
    logging_in = asyncio.create_task(log_in_again_and_again(platform, hostile))
    await send_all(platform.ports, hostile.next, WARM_UP, findings)
    before = memory_of(platform)

    await send_all(platform.ports, hostile.next, count - WARM_UP, findings)

    logging_in.cancel()
    growth = [after - at_first for after, at_first in zip(memory_of(platform), before, strict=True)]
    log = platform.logs()
    failures, told = lines_with(FAILURES, log), lines_with(re.compile(SECRET, re.IGNORECASE), log)
    totals["requests"] += findings.answered.total()
    totals["server_errors"] += findings.count("server error") + len(failures)
    totals["leaks"] += findings.count("leak") + len(told)
    for name, figure in totals.items():
        record_figure(f"rest_fuzz_{name}", figure)
    assert findings.faults == {}
    assert told[:SHOWN] == []
    assert failures[:SHOWN] == []
    assert max(growth) < MOST_GROWTH
    assert findings.answered[200] > count / 40, f"too little of it is valid to tell anything: {findings.answered}"
    assert [await is_there(url) for url in platform.urls] == [200] * len(platform.urls)


async def things_of_others(platform: RestPlatform, token: str) -> dict[str, list[str]]:
    """Values that fields may have, of what is there and belongs to others, by the names of the fields."""

    async def call(verb: str, target: str, body: Any = None) -> Any:
        text = None if body is None else json.dumps(body).encode()
        request = HttpRequest(verb=verb, target=target, body=text)
        answer = await ask(platform.urls[0], request, {"authorization": f"Bearer {token}"})
        assert answer.status == 200, answer.body
        return answer.json

    def person(role: str) -> dict[str, Any]:
        return {"email": f"{uuid4()}@example.com", "displayName": "Pia", "roles": [role]}

    patient, therapist = [await call("POST", "/api/users", person(f"ROLE_{each}")) for each in ("PATIENT", "THERAPIST")]
    start = datetime.now(UTC) + timedelta(days=1)
    times = {"startTime": start.isoformat(), "endTime": (start + timedelta(minutes=50)).isoformat()}
    people = {"patientId": patient["userId"], "therapistId": therapist["userId"]}
    session = await call("POST", "/api/mental-health/therapy-sessions", people | times)
    page = await call("GET", "/api/users?pageSize=1")
    return {
        "user_id": [patient["userId"], therapist["userId"], NOT_THERE],
        "user_ids": [patient["userId"], NOT_THERE],
        "patient_id": [patient["userId"], therapist["userId"], NOT_THERE],
        "therapist_id": [therapist["userId"], patient["userId"], NOT_THERE],
        "session_id": [session["sessionId"], NOT_THERE],
        "access_id": [NOT_THERE, session["sessionId"]],
        "event_id": [NOT_THERE],
        "client_id": [NOT_THERE],
        "page_token": [page["nextPageToken"]],
        "module": ["users", "mentalhealth", "kernel"],
        "module_id": ["users", "mentalhealth", "billing"],
        "code": ["F33.1", "F", "x"],
        "locale": ["en", "de"],
        "time_zone": ["Europe/Berlin", "UTC"],
        "phone_number": ["+4930901820"],
        "password": ["a good one for the tests"],
        "email_prefix": ["a"],
        "query": ["depress"],
        "etag": ["1", "2"],
    }


async def log_in_again_and_again(platform: RestPlatform, hostile: Hostile) -> None:
    """Has valid tokens among those that the requests are made with, for some of the requests log out."""
    while True:
        await asyncio.sleep(1)
        hostile.tokens = [*hostile.tokens[-3:], await platform.new_token()]


def memory_of(platform: RestPlatform) -> list[int]:
    """The bytes of memory that each process has."""
    return [psutil.Process(server.pid).memory_info().rss for server in platform.servers]


def lines_with(pattern: re.Pattern[str], log: str) -> list[str]:
    return [line for line in log.splitlines() if pattern.search(line)]


async def is_there(url: str) -> int:
    return (await ask(url, HttpRequest(verb="GET", target="/readyz", body=None))).status


# That the checks find what they look for


WHOLE = Request(verb=b"GET", target=b"/", headers=[], body=None)


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (500, {"message": "an internal error occurred"}, "server error 500"),
        (504, {"message": "too late"}, "server error 504"),
        (400, {"message": f"no {SECRET}1"}, f"leak of what was sent: {SECRET}"),
        (400, {"message": f"no {PUBLIC.upper()}1"}, f"leak of what was sent: {PUBLIC}"),
        (400, {"message": 'File "/srv/x.py"'}, "leak of what it is made of"),
        (400, {"message": "KeyError: 'a'"}, "leak of what it is made of"),
        (400, {"message": "SELECT 1"}, "leak of what it is made of"),
        (400, {"message": ""}, "an error that says nothing"),
        (400, {"other": "a"}, "an error that is no google.rpc.Status"),
        (400, {"message": "it is not so"}, None),
        (200, {"message": f"{SECRET}1"}, None),
    ],
)
def test_what_is_wrong_is_found(status: int, body: dict[str, str], fault: str | None):
    text = json.dumps({"code": 3, "details": [], **body}).encode()
    answer = Answer(status=status, headers=[("content-type", "application/json")], body=text)

    assert [*faults_of(WHOLE, answer)] == ([fault] if fault else [])


def test_it_is_wrong_not_to_answer_and_to_answer_in_plain_text():
    plain = Answer(status=404, headers=[("content-type", "text/plain")], body=b"Not Found")

    assert [*faults_of(WHOLE, Answer())] == ["no answer"]
    assert [*faults_of(WHOLE, plain)] == ["an error of type text/plain"]


def test_the_same_seed_makes_the_same_requests():
    one, other = (Hostile(seed=1, ids={}, tokens=["a"]) for _ in range(2))

    assert [one.next().changes for _ in range(100)] == [other.next().changes for _ in range(100)]
