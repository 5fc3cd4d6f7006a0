from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import example, given
from hypothesis import strategies as st

import aura.kernel
import aura.mentalhealth
import aura.users
from aura.kernel.errors import CLASS_BY_CODE, AuraError, Code, FieldViolation, NotFound
from aura.kernel.interceptors.chain import InterceptorChain
from aura.kernel.rpc_status import from_rpc_error, to_status
from generated.aura.errors.v1 import error_reason_pb2
from generated.aura.mentalhealth.v1 import errors_pb2 as mentalhealth_errors_pb2
from generated.aura.users.v1 import errors_pb2 as users_errors_pb2
from tests.support.services import SERVICE, TRANSPORTS, failure_from, handlers, module_channel, path_of, serving

DECLARED = {
    aura.kernel: error_reason_pb2.ErrorReason,
    aura.users: users_errors_pb2.ErrorReason,
    aura.mentalhealth: mentalhealth_errors_pb2.ErrorReason,
}
REASON = re.compile(r"[A-Z][A-Z0-9_]*")

violations = st.builds(FieldViolation, field=st.text(), description=st.text(), rule=st.text())


@st.composite
def errors(draw: st.DrawFn) -> AuraError:
    return draw(st.sampled_from(sorted(CLASS_BY_CODE.values(), key=lambda cls: cls.code)))(
        draw(st.text(min_size=1)),
        reason=draw(st.from_regex(r"[A-Z][A-Z0-9_]{0,30}", fullmatch=True)),
        metadata=draw(st.dictionaries(st.text(), st.text(), max_size=5)),
        violations=draw(st.lists(violations, max_size=5)),
        retry_after=draw(st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365))),
    )


def told_by(error: AuraError) -> dict[str, object]:
    return {"class": type(error), **vars(error)}


def test_every_canonical_code_but_ok_has_exactly_one_class():
    classes = AuraError.__subclasses__()

    canonical = [cls for cls in classes if cls.__module__ == "aura.kernel.errors"]
    assert sorted(cls.code for cls in canonical) == [code for code in Code if code is not Code.OK]
    assert sorted(CLASS_BY_CODE) == sorted(cls.code for cls in canonical)


def test_the_codes_are_those_of_grpc():
    assert {code.name: code.value for code in Code} == {code.name: code.value[0] for code in grpc.StatusCode}


@pytest.mark.parametrize("code", CLASS_BY_CODE)
def test_a_class_is_named_after_its_code(code: Code):
    assert CLASS_BY_CODE[code].__name__ == code.name.title().replace("_", "")


def test_a_reason_given_stands_in_for_that_of_the_class():
    class Gone(NotFound):
        reason = "GONE"

    assert (Gone("x").reason, Gone("x", reason="LOST").reason, Gone("x", reason="").reason) == ("GONE", "LOST", "")


def test_errors_share_no_metadata():
    one, other = NotFound("x"), NotFound("x")

    one.metadata["a"] = "b"

    assert other.metadata == {}


@given(error=errors())
@example(error=NotFound("x", retry_after=timedelta(0)))
def test_a_status_keeps_all_that_an_error_tells(error: AuraError):
    status = rpc_status.to_status(to_status(error, "request-1"))
    failed = grpc.aio.AioRpcError(status.code, (), status.trailing_metadata, status.details)

    returned = from_rpc_error(failed)

    assert told_by(returned) == told_by(error)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("error_class", CLASS_BY_CODE.values())
async def test_a_call_keeps_all_that_an_error_tells(transport: str, error_class: type[AuraError]):
    error = error_class(
        "the message ☺ 100%\n",
        reason="SOME_REASON",
        metadata={"key": "value ☺", "": ""},
        violations=[FieldViolation(field="a.b[0]", description="is wrong", rule="a.rule")],
        retry_after=timedelta(seconds=1, microseconds=5),
    )

    async def fail(_: object, __: object) -> AsyncIterator[object]:
        raise error
        yield

    async with serving(transport, handlers(fail), interceptors=[InterceptorChain([])]) as served:
        returned = await failure_from(module_channel(served).unary_unary(path_of("unary_unary"))(b""))

    assert told_by(returned) == told_by(error)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_failure_without_details_is_an_error_too(transport: str):
    async with serving(transport, {}) as served:
        returned = await failure_from(module_channel(served).unary_unary(f"/{SERVICE}/None")(b""))

    assert returned.code is Code.UNIMPLEMENTED
    assert (returned.reason, returned.metadata, returned.violations, returned.retry_after) == ("", {}, (), None)


def test_tells_a_client_the_domain_and_the_request_id():
    status = to_status(NotFound("x", reason="GONE"), "request-1")

    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("GONE", "aura")
    assert status.details[1].Unpack(request)
    assert request.request_id == "request-1"


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def classes_below(cls: type[AuraError]) -> Iterator[type[AuraError]]:
    for below in cls.__subclasses__():
        yield below
        yield from classes_below(below)


def literals_in(module: ModuleType) -> Iterator[str]:
    """The reasons given where an error is made, as `Internal("…", reason="INTERNAL")`."""
    for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "reason" and isinstance(node.value, ast.Constant):
            reason = node.value.value
            if isinstance(reason, str) and REASON.fullmatch(reason):
                yield reason


@pytest.mark.parametrize("package", DECLARED, ids=lambda package: package.__name__)
def test_the_reasons_used_are_those_that_the_contract_declares(package: ModuleType):
    values = DECLARED[package].DESCRIPTOR.values_by_name
    declared = {name.removeprefix("ERROR_REASON_") for name in values} - {"UNSPECIFIED"}
    literals = {reason for module in modules_of(package) for reason in literals_in(module)}
    of_classes = {
        cls.reason for cls in classes_below(AuraError) if f"{cls.__module__}.".startswith(f"{package.__name__}.")
    }

    assert (of_classes | literals) - {""} == declared


@pytest.mark.parametrize("package", [aura.users, aura.mentalhealth], ids=lambda package: package.__name__)
def test_every_error_of_a_module_that_can_be_raised_has_a_reason(package: ModuleType):
    list(modules_of(package))

    public = [cls for cls in classes_below(AuraError) if cls.__module__.startswith(f"{package.__name__}.")]

    assert public
    assert [cls for cls in public if not cls.reason and not cls.__name__.startswith("_")] == []
