"""Reads and writes login sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, update

from aura.kernel.database import Execute, fields_of
from aura.kernel.query import Query
from aura.users.models.login_session import LIVE_SESSIONS, LoginSession, login_sessions_table
from aura.users.models.user import Role, UserState, users_table

_SESSIONS = login_sessions_table.c
_SELECT = select(login_sessions_table)
_BY_ID_FOR_UPDATE = _SELECT.where(_SESSIONS.session_id == bindparam("session_id")).with_for_update()
_HOLDER = Query(
    select(
        _SESSIONS.idle_expire_time,
        _SESSIONS.expire_time,
        _SESSIONS.end_time,
        users_table.c.user_id,
        users_table.c.roles,
        users_table.c.state,
    )
    .select_from(login_sessions_table.join(users_table, users_table.c.user_id == _SESSIONS.user_id))
    .where(_SESSIONS.session_id == bindparam("session_id"))
)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has a live session, and what they are."""

    user_id: UUID
    roles: tuple[Role, ...]


class LoginSessionRepository:
    """The login sessions, in PostgreSQL."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def holder(self, session_id: UUID, now: datetime) -> Holder | None:
        """Returns whose session it is; None if it is not live, or its user out of use."""
        rows = await self._execute(_HOLDER, {"session_id": session_id})
        if not rows:
            return None
        row = rows[0]
        is_over = row.end_time is not None or now >= min(row.idle_expire_time, row.expire_time)
        if is_over or row.state != UserState.ACTIVE:
            return None
        return Holder(user_id=row.user_id, roles=tuple(map(Role, row.roles)))

    async def add(self, session: LoginSession) -> None:
        """Adds a session."""
        await self._execute(insert(login_sessions_table), vars(session))

    async def get_for_update(self, session_id: UUID) -> LoginSession | None:
        """Returns a session, and keeps others from changing it until the unit of work ends; None if there is none."""
        rows = await self._execute(_BY_ID_FOR_UPDATE, {"session_id": session_id})
        return _to_session(rows[0]) if rows else None

    async def save(self, session: LoginSession) -> None:
        """Stores a changed session."""
        statement = update(login_sessions_table).where(_SESSIONS.session_id == session.session_id)
        await self._execute(statement.values(**vars(session)))

    async def live_of(self, user_id: UUID, now: datetime) -> list[LoginSession]:
        """Returns a user's live sessions, the newest first."""
        statement = (
            _SELECT.where(
                _SESSIONS.user_id == user_id,
                _SESSIONS.end_time.is_(None),
                _SESSIONS.idle_expire_time > now,
                _SESSIONS.expire_time > now,
            )
            .order_by(_SESSIONS.create_time.desc())
            .limit(LIVE_SESSIONS)
        )
        return [_to_session(row) for row in await self._execute(statement)]

    async def end_all(self, user_id: UUID, now: datetime, reason: str) -> None:
        """Ends all sessions of a user."""
        await self._end(now, reason, _SESSIONS.user_id == user_id)

    async def end_surplus(self, user_id: UUID, now: datetime) -> None:
        """Ends a user's oldest sessions, so that no more are left than a user may have."""
        of_user = (_SESSIONS.user_id == user_id, _SESSIONS.end_time.is_(None), _SESSIONS.idle_expire_time > now)
        kept = select(_SESSIONS.session_id).where(*of_user).order_by(_SESSIONS.create_time.desc()).limit(LIVE_SESSIONS)
        await self._end(now, "SURPLUS", _SESSIONS.user_id == user_id, _SESSIONS.session_id.not_in(kept))

    async def forget_expired(self, before: datetime) -> None:
        """Deletes the sessions that had ended, or expired, before a time."""
        ended = (_SESSIONS.end_time < before) | (_SESSIONS.expire_time < before)
        await self._execute(delete(login_sessions_table).where(ended))

    async def _end(self, now: datetime, reason: str, *conditions: Any) -> None:
        statement = update(login_sessions_table).where(*conditions, _SESSIONS.end_time.is_(None))
        await self._execute(statement.values(end_time=now, end_reason=reason))


def _to_session(row: Any) -> LoginSession:
    return LoginSession(**fields_of(row))
