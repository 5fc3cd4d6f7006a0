"""Whether a page deep in a list costs more than the first one, through Aura's gRPC port."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.callers import Admin
from benchmarks.population import CREATED, Size, user_id
from generated.aura.mentalhealth.v1.therapy_session_pb2 import (
    THERAPY_SESSION_STATE_COMPLETED,
    THERAPY_SESSION_STATE_SCHEDULED,
)
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ListTherapySessionsRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT
from generated.aura.users.v1 import user_service_pb2 as users_pb2
from generated.aura.users.v1.user_service_pb2 import ListUsersRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub

CALLS = 201
LARGEST_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What the first and a deep page of a list cost; medians of calls made in turn, in milliseconds."""

    first_ms: float
    deep_ms: float

    @property
    def ratio(self) -> float:
        """How much more the deep page costs."""
        return self.deep_ms / self.first_ms


def lists() -> dict[str, Any]:
    """Return a request for each kind of list that is long enough."""
    since = Timestamp()
    since.FromDatetime(CREATED)
    return {
        "users, oldest first": ListUsersRequest(),
        "users, newest first": ListUsersRequest(order_by=users_pb2.USER_ORDER_CREATE_TIME_DESCENDING),
        "users by name": ListUsersRequest(order_by=users_pb2.USER_ORDER_DISPLAY_NAME),
        "users by e-mail address": ListUsersRequest(order_by=users_pb2.USER_ORDER_EMAIL),
        "users whose name begins with P": ListUsersRequest(
            display_name_prefix="P", order_by=users_pb2.USER_ORDER_DISPLAY_NAME
        ),
        "patients": ListUsersRequest(role=ROLE_PATIENT),
        "sessions": ListTherapySessionsRequest(),
        "sessions of a therapist": ListTherapySessionsRequest(therapist_id=str(user_id(0))),
        "sessions of a therapist, in a window": ListTherapySessionsRequest(
            therapist_id=str(user_id(0)), window_start=since
        ),
        "completed sessions": ListTherapySessionsRequest(states=[THERAPY_SESSION_STATE_COMPLETED]),
        "scheduled sessions": ListTherapySessionsRequest(states=[THERAPY_SESSION_STATE_SCHEDULED]),
    }


def measure(address: str, admin: Admin, size: Size, *, calls: int = CALLS) -> dict[str, Growth]:
    """Return each list's growth."""
    with grpc.insecure_channel(address) as channel:
        users, sessions = UserServiceStub(channel), TherapySessionServiceStub(channel)
        return {
            name: _growth(
                admin.bound(users.ListUsers if isinstance(request, ListUsersRequest) else sessions.ListTherapySessions),
                request,
                size,
                calls,
            )
            for name, request in lists().items()
        }


def _growth(call: Callable[[Any], Any], request: Any, size: Size, calls: int) -> Growth:
    """Measure both pages in turn, so that a machine that slows down slows both."""
    request.page_size = size.page_size
    deep = type(request)()
    deep.CopyFrom(request)
    deep.page_token = _token(call, request, items=size.page_size * (size.deep_page - 1))
    first_ms, deep_ms = [], []
    for _ in range(calls):
        first_ms.append(_milliseconds(call, request, size.page_size))
        deep_ms.append(_milliseconds(call, deep, size.page_size))
    return Growth(first_ms=statistics.median(first_ms), deep_ms=statistics.median(deep_ms))


def _token(call: Callable[[Any], Any], request: Any, *, items: int) -> str:
    """Return the token behind so many items; reached in large pages, for a token holds for any size of page."""
    walking = type(request)()
    walking.CopyFrom(request)
    while items:
        walking.page_size = min(items, LARGEST_PAGE)
        walking.page_token = call(walking).next_page_token
        items -= walking.page_size
    return walking.page_token


def _milliseconds(call: Callable[[Any], Any], request: Any, expected: int) -> float:
    begin = time.perf_counter()
    page = call(request)
    took = (time.perf_counter() - begin) * 1000
    got = len(page.users if isinstance(request, ListUsersRequest) else page.sessions)
    if got != expected:
        raise SystemExit(f"bench: a page holds {got} items instead of {expected}")
    return took
