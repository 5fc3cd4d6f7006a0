"""The people and sessions that the benchmarks work on, and how they come into the database.

Everything follows from numbers, so that any process knows who person 5 is. One therapist's calendar is so full that it
alone fills the deep pages; the others' are as usual. Nobody is in two sessions at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from aura.users.models.user import search_key
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT
from generated.aura.users.v1.user_pb2 import USER_STATE_ACTIVE, User

FIRST_ID = 0x0190_0000_0000
CREATED = datetime(2024, 1, 1, tzinfo=UTC)
BUSY_CALENDAR_PATIENTS = 1000
PAIRS = 64
"""Therapists, and as many patients, who have no sessions yet: the benchmark books theirs."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is, and which page is called deep."""

    users: int
    sessions: int
    deep_page: int
    page_size: int = 50

    @property
    def in_busy_calendar(self) -> int:
        """Sessions of the one therapist whose pages go as deep as all others'."""
        return (self.deep_page + 1) * self.page_size

    @property
    def therapists(self) -> int:
        """Therapists with sessions, about a thousand each; the first one's are those of the busy calendar."""
        return self.users // 100


FULL = Size(users=100_000, sessions=1_000_000, deep_page=1000)
QUICK = Size(users=10_000, sessions=50_000, deep_page=100)


def user_id(number: int) -> UUID:
    """Return the id of a person; therapists with sessions come first, those of the pairs last."""
    return UUID(f"{FIRST_ID + number:012x}70008000000000000000")


def pair(users: int, number: int) -> tuple[UUID, UUID]:
    """Return a therapist and a patient without sessions."""
    return user_id(users - 2 * PAIRS + 2 * number), user_id(users - 2 * PAIRS + 2 * number + 1)


def example_user() -> User:
    """Return the user that all servers are asked for, as GetUser returns it."""
    number = EXAMPLE
    user = User(
        user_id=str(user_id(number)),
        email=f"person{number}@example.com",
        display_name=f"Person {number}",
        phone_number="+4930901820",
        roles=[ROLE_PATIENT],
        time_zone="Europe/Berlin",
        locale="de-DE",
        state=USER_STATE_ACTIVE,
        etag="1",
    )
    user.create_time.FromDatetime(CREATED + timedelta(seconds=number))
    user.update_time.FromDatetime(CREATED + timedelta(seconds=number))
    return user


EXAMPLE = 5_000
assert search_key("Person 5") == "person 5", "the statements below fold names by lower()"

_ID = f"(lpad(to_hex({FIRST_ID} + %s), 12, '0') || '70008000000000000000')::uuid"

_USERS = f"""
INSERT INTO users.users (user_id, email, email_key, display_name, name_key, phone_number, time_zone, locale, roles,
                         state, version, create_time, update_time)
SELECT {_ID % "n"}, 'person' || n || '@example.com', 'person' || n || '@example.com', 'Person ' || n, 'person ' || n,
       '+4930901820', 'Europe/Berlin', 'de-DE',
       ARRAY[CASE WHEN n < $1 OR n >= $2 AND n % 2 = 0 THEN 'THERAPIST' ELSE 'PATIENT' END],
       'ACTIVE', 1, time, time
FROM generate_series(0, $3 - 1) AS n, LATERAL (SELECT $4::timestamptz + n * interval '1 second' AS time)
"""

_USER_CHANGES = """
INSERT INTO users.user_changes (user_id, version, kind, actor, reason, occur_time)
SELECT user_id, 1, 'CREATED', 'benchmark', '', create_time FROM users.users
"""

# The busy therapist sees a thousand patients of their own, a session every quarter of an hour; the others' sessions are
# sixteen hours apart, and each of their patients comes about as often as there are sessions per patient.
_SESSIONS = f"""
INSERT INTO mentalhealth.therapy_sessions (session_id, therapist_id, patient_id, start_time, end_time, time_zone, state,
                                           actual_start_time, actual_end_time, cancelled_by, version, create_time,
                                           update_time)
SELECT {_ID % "n"}, {_ID % "therapist"}, {_ID % "patient"}, start, start + length, 'Europe/Berlin', state,
       CASE WHEN state = 'COMPLETED' THEN start END, CASE WHEN state = 'COMPLETED' THEN start + length END,
       CASE WHEN state = 'CANCELLED' THEN 'PATIENT' END, 1, start - interval '30 days', start - interval '30 days'
FROM generate_series(0, $1 - 1) AS n
CROSS JOIN LATERAL (SELECT
    CASE WHEN n < $2 THEN 0 ELSE 1 + (n - $2) % ($3 - 1) END AS therapist,
    CASE WHEN n < $2 THEN $3 + n % {BUSY_CALENDAR_PATIENTS}
         ELSE $3 + {BUSY_CALENDAR_PATIENTS} + (n - $2) % ($4 - $3 - {BUSY_CALENDAR_PATIENTS}) END AS patient,
    CASE WHEN n < $2 THEN $5::timestamptz + n * interval '15 minutes'
         ELSE $5::timestamptz + (n - $2) / ($3 - 1) * interval '16 hours' END AS start,
    CASE WHEN n < $2 THEN interval '15 minutes' ELSE interval '50 minutes' END AS length)
CROSS JOIN LATERAL (SELECT CASE WHEN n % 10 = 0 THEN 'CANCELLED' WHEN start > now() THEN 'SCHEDULED'
                                WHEN n % 10 = 1 THEN 'NO_SHOW' ELSE 'COMPLETED' END AS state)
"""

_TRANSITIONS = """
INSERT INTO mentalhealth.session_transitions (session_id, sequence, from_state, to_state, actor, reason, occur_time)
SELECT session_id, 1, NULL, 'SCHEDULED', 'benchmark', '', create_time FROM mentalhealth.therapy_sessions
"""

_PARTICIPANTS = """
INSERT INTO mentalhealth.session_participants (session_id, user_id, period)
SELECT session_id, user_id, tstzrange(start_time, end_time)
FROM mentalhealth.therapy_sessions, unnest(ARRAY[therapist_id, patient_id]) AS user_id
WHERE state <> 'CANCELLED'
"""

_NO_OVERLAP = "session_participants_no_overlap"


async def fill(url: str, size: Size) -> None:
    """Fill an empty, migrated database, as its superuser."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")  # no look-up of each row's foreign keys
        await connection.execute("SET maintenance_work_mem = '256MB'")
        pairs_begin = size.users - 2 * PAIRS
        await connection.execute(_USERS, size.therapists, pairs_begin, size.users, CREATED)
        await connection.execute(_USER_CHANGES)
        begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=365)
        await connection.execute(_SESSIONS, size.sessions, size.in_busy_calendar, size.therapists, pairs_begin, begin)
        await connection.execute(_TRANSITIONS)
        await _fill_participants(connection)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _fill_participants(connection: asyncpg.Connection) -> None:
    """Make the constraint's index once the rows are there, which is faster, and checks them all."""
    table = "mentalhealth.session_participants"
    definition = await connection.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", _NO_OVERLAP
    )
    await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {_NO_OVERLAP}")
    await connection.execute(_PARTICIPANTS)
    await connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {_NO_OVERLAP} {definition}")
