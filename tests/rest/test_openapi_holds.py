"""What the platform answers over HTTP is what its OpenAPI document says that it answers, whatever one sends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig

from aura.kernel.openapi_document import platform_openapi
from aura.modules import AURA_MODULES
from tests.rest.conftest import NewPlatform
from tests.rest.promises import admits_what_the_document_admits, left_out, refuses_what_the_document_refuses
from tests.support.rest_platform import RestPlatform, new_source

EXAMPLES = 2
"""How many requests each operation gets of each kind, by each caller, where the trials are few."""
UNAUTHENTICATED = 401
REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "414", "415", "429", "431"]
DOCUMENT = platform_openapi(AURA_MODULES)
CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
        "generation": {"with-security-parameters": False},  # tokens of random letters are no tokens
    }
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
OPERATIONS = {operation.label: operation for operation in (found.ok() for found in SCHEMA.get_all_operations())}

pytestmark = pytest.mark.timeout(600)


@dataclass
class Caller:
    """Sends requests: as somebody with all roles, who logs in again whenever that has ended, or as nobody."""

    platform: RestPlatform
    runner: asyncio.Runner
    known: bool
    token: str = ""
    session: requests.Session = field(default_factory=requests.Session)
    answered: Counter[int] = field(default_factory=Counter)

    def __call__(self, case: Case) -> Any:
        answer = self._send(case)
        if self.known and answer.status_code == UNAUTHENTICATED:
            self.token = self.runner.run(self.platform.new_token())
            answer = self._send(case)
        self.answered[answer.status_code] += 1
        return answer

    def _send(self, case: Case) -> Any:
        headers = {"x-forwarded-for": new_source()}
        if case.operation.label.endswith(":tail"):
            headers["grpc-timeout"] = "200m"
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        return case.call(base_url=self.platform.urls[0], session=self.session, headers=headers, timeout=20)


@pytest.fixture(scope="module")
def platform(new_platform: NewPlatform) -> RestPlatform:
    return new_platform()


@pytest.fixture(scope="module", params=["root", "nobody"])
def caller(request: pytest.FixtureRequest, platform: RestPlatform, runner: asyncio.Runner) -> Iterator[Caller]:
    with requests.Session() as session:
        yield Caller(platform, runner, known=request.param == "root", session=session)


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_operation_answers_as_the_document_says(label: str, caller: Caller, trials: int):
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @hypothesis.settings(
            max_examples=EXAMPLES * trials,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @hypothesis.given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
        def answers_as_the_document_says(case: Case) -> None:
            one_of_each(case)
            answer = caller(case)
            own = [admits_what_the_document_admits, refuses_what_the_document_refuses]
            case.validate_response(answer, additional_checks=own, excluded_checks=left_out(case))

        try:
            answers_as_the_document_says()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, "the document admits nothing"


def one_of_each(case: Case) -> None:
    """Takes the header out of a request that says the same as one of its fields: the document cannot exclude both."""
    fields = {**(case.query or {}), **(case.body if isinstance(case.body, dict) else {})}
    for header, name in (("Idempotency-Key", "requestId"), ("If-Match", "etag")):
        if fields.get(name) and header in (case.headers or {}):
            del case.headers[header]


def test_nothing_went_wrong_meanwhile(platform: RestPlatform, caller: Caller, record_figure: Any):
    log = platform.logs()

    record_figure("openapi_requests", caller.answered.total())
    assert "Traceback" not in log
    assert "the gateway failed" not in log
