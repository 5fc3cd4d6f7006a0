"""Turns errors into `google.rpc.Status` with details, and a failed call's status into an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from aura.kernel.errors import CLASS_BY_CODE, AuraError, Code, FieldViolation

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

ERROR_DOMAIN = "aura"


def to_status(error: AuraError, request_id: str = "") -> status_pb2.Status:
    """Returns the status that tells a client all that `error` may tell (AIP-193)."""
    details: list[Message] = []
    if error.reason:
        details.append(error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata))
    if error.violations:
        details.append(error_details_pb2.BadRequest(field_violations=map(_to_field_violation, error.violations)))
    if error.code is Code.FAILED_PRECONDITION:
        violation = error_details_pb2.PreconditionFailure.Violation(type=error.reason, description=error.message)
        details.append(error_details_pb2.PreconditionFailure(violations=[violation]))
    if error.retry_after is not None:
        retry_info = error_details_pb2.RetryInfo()
        retry_info.retry_delay.FromTimedelta(error.retry_after)
        details.append(retry_info)
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    return status_pb2.Status(code=error.code, message=error.message, details=map(_pack, details))


def from_rpc_error(error: grpc.aio.AioRpcError) -> AuraError:
    """Returns the error that a failed call stands for: the canonical class, with reason, metadata and violations."""
    code = Code(error.code().value[0])
    failure = CLASS_BY_CODE[code](error.details() or code.name)
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        _read_detail(detail, failure)
    return failure


def _read_detail(detail: any_pb2.Any, failure: AuraError) -> None:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    if detail.Unpack(info):
        failure.reason, failure.metadata = info.reason, dict(info.metadata)
    elif detail.Unpack(bad):
        failure.violations = tuple(
            FieldViolation(field=violation.field, description=violation.description, rule=violation.reason)
            for violation in bad.field_violations
        )
    elif detail.Unpack(retry):
        failure.retry_after = retry.retry_delay.ToTimedelta()


def _to_field_violation(violation: FieldViolation) -> error_details_pb2.BadRequest.FieldViolation:
    return error_details_pb2.BadRequest.FieldViolation(
        field=violation.field, description=violation.description, reason=violation.rule
    )


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
