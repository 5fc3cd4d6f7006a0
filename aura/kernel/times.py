"""Times on the wire, and the names of time zones."""

from __future__ import annotations

import importlib.resources
from datetime import UTC, datetime
from functools import cache

from google.protobuf.timestamp_pb2 import Timestamp


def to_timestamp(time: datetime) -> Timestamp:
    """Returns an aware time as the wire has it."""
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def from_timestamp(timestamp: Timestamp) -> datetime:
    """Returns the time in UTC, cut to the microsecond."""
    return timestamp.ToDatetime(tzinfo=UTC)


def is_time_zone(name: str) -> bool:
    """Returns whether the IANA time zone database, in the pinned release, has a zone of this name."""
    return name in _zones()


@cache
def _zones() -> frozenset[str]:
    return frozenset((importlib.resources.files("tzdata") / "zones").read_text().split())
