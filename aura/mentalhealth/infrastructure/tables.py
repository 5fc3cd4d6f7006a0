"""The module's tables, as the newest revision has them."""

from __future__ import annotations

from sqlalchemy import ARRAY, Boolean, Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import TSTZRANGE, TSVECTOR

metadata = MetaData(schema="mentalhealth")

therapy_sessions = Table(
    "therapy_sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("therapist_id", Uuid, nullable=False),
    Column("patient_id", Uuid, nullable=False),
    Column("start_time", DateTime(timezone=True), nullable=False),
    Column("end_time", DateTime(timezone=True), nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("actual_start_time", DateTime(timezone=True)),
    Column("actual_end_time", DateTime(timezone=True)),
    Column("cancelled_by", Text),
    Column("version", Integer, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
)

session_participants = Table(
    "session_participants",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("period", TSTZRANGE, nullable=False),
)

session_transitions = Table(
    "session_transitions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("occur_time", DateTime(timezone=True), nullable=False),
)

disorders = Table(
    "disorders",
    metadata,
    Column("code", Text, primary_key=True),
    Column("position", Integer, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("billable", Boolean, nullable=False),
    Column("parent_code", Text, nullable=False),
    Column("child_codes", ARRAY(Text), nullable=False),
    Column("inclusion_terms", ARRAY(Text), nullable=False),
    Column("includes", ARRAY(Text), nullable=False),
    Column("excludes1", ARRAY(Text), nullable=False),
    Column("excludes2", ARRAY(Text), nullable=False),
    Column("code_first", ARRAY(Text), nullable=False),
    Column("use_additional_code", ARRAY(Text), nullable=False),
    Column("code_also", ARRAY(Text), nullable=False),
    Column("notes", ARRAY(Text), nullable=False),
    Column("release", Text, nullable=False),
)

disorder_terms = Table(
    "disorder_terms",
    metadata,
    Column("term_id", Integer, primary_key=True),
    Column("code", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("inherited", Boolean, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("preference", Integer, nullable=False),
    Column("wording", Text, nullable=False),
    Column("length", Integer, nullable=False),
    Column("words", TSVECTOR, nullable=False),
)

inactive_users = Table(
    "inactive_users",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("create_time", DateTime(timezone=True), nullable=False),
)

emergency_accesses = Table(
    "emergency_accesses",
    metadata,
    Column("access_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("patient_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
    Column("end_time", DateTime(timezone=True)),
)
