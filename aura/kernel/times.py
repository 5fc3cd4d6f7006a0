"""Times on the wire, and the names of time zones."""

from __future__ import annotations

import importlib.resources
from datetime import UTC, date, datetime
from functools import cache

from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from aura.kernel.errors import FieldViolation, InvalidRequest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_timestamp(time: datetime) -> Timestamp:
    """Returns an aware time as the wire has it."""
    since = time - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def from_timestamp(timestamp: Timestamp, *, field: str) -> datetime:
    """Returns the time in UTC, cut to the microsecond.

    Raises:
        InvalidRequest: It is none, or not in the years 1 to 9999; it names the field.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except ValueError:
        description = "must be a time in the years 1 to 9999"
        raise InvalidRequest(FieldViolation(field=field, description=description)) from None


def from_date(value: date_pb2.Date, *, field: str) -> date:
    """Returns a calendar day.

    Raises:
        InvalidRequest: There is no such day; it names the field.
    """
    try:
        return date(value.year, value.month, value.day)
    except ValueError:
        description = "must be a day of the calendar, with year, month and day"
        raise InvalidRequest(FieldViolation(field=field, description=description)) from None


def to_date(day: date) -> date_pb2.Date:
    """Returns a calendar day as the wire has it."""
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


def is_time_zone(name: str) -> bool:
    """Returns whether the IANA time zone database, in the pinned release, has a zone of this name."""
    return name in _zones()


@cache
def _zones() -> frozenset[str]:
    return frozenset((importlib.resources.files("tzdata") / "zones").read_text().split())
