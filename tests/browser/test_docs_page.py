"""Somebody opens /docs, logs in there, and tries the interface."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page
from sqlalchemy import URL

from aura.kernel.gateway.docs_page import DOCS_HEADERS
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import GetTherapySessionRequest
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN
from tests.support.accounts import PASSWORD, set_password
from tests.support.platform import Platform, running_platform

LOGIN = "AuthenticationService_Login"
LIST_DISORDERS = "DisorderService_ListDisorders"
SCHEDULE = "TherapySessionService_ScheduleTherapySession"
EMAIL = "ada@example.org"


@pytest.fixture
async def platform(database_url: URL, tmp_path: Path) -> AsyncIterator[Platform]:
    async with running_platform(database_url, tmp_path, http_port=0) as platform:
        admin = await platform.create_user(ROLE_ADMIN, email=EMAIL)
        await set_password(database_url, admin.user_id)
        yield platform


class Docs:
    """The page, as somebody uses it; `complaints` are what its browser says of it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    async def open(self) -> None:
        answer = await self.page.goto(f"{self.address}/docs")
        assert answer is not None
        assert answer.headers["content-security-policy"] == DOCS_HEADERS["content-security-policy"]
        await self.page.locator(".opblock-tag").first.wait_for()

    async def call(self, operation_id: str, body: object = None) -> tuple[int, Any]:
        """Tries an operation; returns the status and the JSON of the answer, as the page shows them."""
        operation = await self._unfolded(operation_id)
        if await operation.locator(".try-out__btn", has_text="Cancel").count() == 0:
            await operation.locator(".try-out__btn").click()
        if body is not None:
            await operation.locator("textarea.body-param__text").fill(json.dumps(body))
        if await operation.locator("button.btn-clear").count():
            await operation.locator("button.btn-clear").click()  # what an earlier call answered
        await operation.locator("button.execute").click()
        answer = operation.locator(".live-responses-table .response").first
        await answer.wait_for()
        status = await answer.locator(".response-col_status").inner_text()
        text = await answer.locator(".highlight-code code").first.inner_text()
        return int(status.split()[0]), json.loads(text)

    async def _unfolded(self, operation_id: str) -> Locator:
        service = operation_id.partition("_")[0]
        section = self.page.locator(f"#operations-tag-{service}")
        if await section.get_attribute("data-is-open") != "true":
            await section.click()
        operation = self.page.locator(f"#operations-{service}-{operation_id}")
        if "is-open" not in (await operation.get_attribute("class") or ""):
            await operation.locator(".opblock-summary-control").click()
        await operation.locator(".try-out__btn").wait_for()
        return operation


@pytest.fixture
async def docs(page: Page, platform: Platform) -> Docs:
    docs = Docs(page, platform.host.http_address)
    await docs.open()
    return docs


async def test_somebody_logs_in_and_books_a_session(docs: Docs, platform: Platform):
    booking = await platform.booking()
    refused, _ = await docs.call(LIST_DISORDERS)

    logged_in, tokens = await docs.call(LOGIN, {"email": EMAIL, "password": PASSWORD})
    listed, disorders = await docs.call(LIST_DISORDERS)
    body = {
        "therapistId": booking.therapist_id,
        "patientId": booking.patient_id,
        "startTime": booking.start_time.ToJsonString(),
        "endTime": booking.end_time.ToJsonString(),
    }
    booked, session = await docs.call(SCHEDULE, body)

    assert refused == 401
    assert (logged_in, listed, booked) == (200, 200, 200)
    assert tokens["accessToken"]
    assert len(disorders["disorders"]) == 50
    stored = await platform.sessions.GetTherapySession(GetTherapySessionRequest(session_id=session["sessionId"]))
    assert stored.patient_id == booking.patient_id
    assert stored.end_time.ToDatetime() - stored.start_time.ToDatetime() == timedelta(minutes=50)


async def test_a_token_may_be_given_by_hand_and_is_forgotten(docs: Docs):
    _, tokens = await docs.call(LOGIN, {"email": EMAIL, "password": PASSWORD})
    await docs.open()
    before, _ = await docs.call(LIST_DISORDERS)

    await docs.page.locator(".auth-wrapper .authorize").first.click()
    await docs.page.locator(".modal-ux input").fill(tokens["accessToken"])
    await docs.page.locator(".modal-ux button.authorize").click()
    await docs.page.locator(".modal-ux .btn-done").click()
    after, _ = await docs.call(LIST_DISORDERS)

    assert (before, after) == (401, 200)
    assert await docs.page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_everything_comes_from_this_server_and_keeps_to_its_policy(docs: Docs):
    await docs.call(LOGIN, {"email": EMAIL, "password": PASSWORD})

    assert {url for url in docs.asked if not url.startswith((docs.address, "data:"))} == set()
    assert docs.complaints == []


async def test_every_operation_is_there(docs: Docs):
    sections = await docs.page.locator(".opblock-tag").all()
    for section in sections:
        await section.click()

    await docs.page.locator(".opblock").nth(50).wait_for()
    assert len(sections) >= 8
    assert docs.complaints == []
