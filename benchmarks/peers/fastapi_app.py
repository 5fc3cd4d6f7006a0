"""The peer on FastAPI: an async SQLAlchemy ORM session per request over asyncpg; for uvicorn as `app`.

Reads are not wrapped in a transaction, as Aura's and Django's are not. The pool is the fastest of those tried: of 4, 6
or 16 connections, of 4 with 2 more on demand (as Aura's), and of 5 with 10 more (SQLAlchemy's default).
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, field_serializer
from sqlalchemy import ARRAY, DateTime, Text, Uuid
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.peers import tokens

engine = create_async_engine(
    os.environ["BENCHMARK_DATABASE_URL"], pool_size=4, max_overflow=0, isolation_level="AUTOCOMMIT"
)
new_session = async_sessionmaker(engine, expire_on_commit=False)


def authenticated(request: Request) -> None:
    """Let in who has an access token."""
    try:
        tokens.check(request.headers.get("authorization", ""))
    except tokens.Refused as refused:
        raise HTTPException(401) from refused


class Base(DeclarativeBase):
    """The ORM's registry."""


class User(Base):
    """A row of `users.users`."""

    __tablename__ = "users"
    __table_args__ = {"schema": "users"}  # noqa: RUF012 as SQLAlchemy has it

    user_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    email_key: Mapped[str] = mapped_column(Text)
    display_name: Mapped[str] = mapped_column(Text)
    phone_number: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    state: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    name_key: Mapped[str] = mapped_column(Text)


class UserOut(BaseModel):
    """What Aura's GetUser returns."""

    model_config = ConfigDict(from_attributes=True)

    user_id: UUID
    email: str
    display_name: str
    phone_number: str
    roles: list[str]
    time_zone: str
    locale: str
    state: str
    create_time: datetime
    update_time: datetime
    etag: int = Field(validation_alias="version")

    @field_serializer("etag")
    def _text(self, version: int) -> str:
        return str(version)


app = FastAPI(dependencies=[Depends(authenticated)] if tokens.checked() else [])


async def session() -> AsyncIterator[AsyncSession]:
    """Lend a session for one request."""
    async with new_session() as lent:
        yield lent


@app.get("/api/users/{user_id}", response_model=UserOut)
async def get_user(user_id: UUID, database: Annotated[AsyncSession, Depends(session)]) -> User:
    """Return a user."""
    user = await database.get(User, user_id)
    if user is None:
        raise HTTPException(404)
    return user
