"""The peer of events: modupy's transactional outbox, with one listener, in one process.

Reads lines of JSON, each with the arguments of `place_orders`, and answers each with a line once the orders are placed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass

from modulith import bootstrap, configure, event, listener, publish
from modulith.adapters.postgres_outbox import PostgresPublicationStore
from modulith.builtin import outbox
from modulith.builtin.outbox import bind_session, unbind_session
from modulith.serializers import JsonEventSerializer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

CONNECTIONS = 12
"""As many as Aura's two modules have between them."""

PLACE = text("INSERT INTO peer_orders (number, subject) VALUES (:number, :subject)")
HANDLE = text("INSERT INTO peer_effects (number, subject) VALUES (:number, :subject)")
ENGINE = create_async_engine(
    os.environ["BENCHMARK_DATABASE_URL"], pool_size=CONNECTIONS, max_overflow=0, pool_timeout=600
)
SESSIONS = async_sessionmaker(ENGINE)


@event
@dataclass(frozen=True)
class OrderPlaced:
    """Says that an order was placed."""

    subject: str
    number: int


@listener
async def handle(placed: OrderPlaced) -> None:
    """Write a row for each order."""
    async with SESSIONS() as session:
        await session.execute(HANDLE, {"number": placed.number, "subject": placed.subject})
        await session.commit()


async def place_orders(first: int, end: int, step: int, subjects: int, per_second: float) -> None:
    """Place orders one after the other, each in a transaction."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for index, number in enumerate(range(first, end, step)):
        async with SESSIONS() as session:
            await _place(session, number, str(number % subjects))
        if per_second:
            await asyncio.sleep(max(0, begin + (index + 1) / per_second - loop.time()))


async def _place(session: AsyncSession, number: int, subject: str) -> None:
    token = bind_session(session)
    try:
        await session.execute(PLACE, {"number": number, "subject": subject})
        await publish(OrderPlaced(subject=subject, number=number))
        await session.commit()
    finally:
        unbind_session(token)


async def main() -> None:
    """Serve standard input."""
    async with ENGINE.begin() as connection:
        for table in ("orders", "effects"):
            await connection.execute(text(f"CREATE TABLE peer_{table} (number bigint PRIMARY KEY, subject text)"))
    store = PostgresPublicationStore(engine=ENGINE)
    outbox.configure(store=store, serializer=JsonEventSerializer(allowed_event_types=[OrderPlaced]))
    configure(outbox="postgres", auto_discover=False)
    bootstrap()
    outbox.start()
    answer("ready")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await asyncio.gather(*(place_orders(**each) for each in json.loads(line)))
        answer("done")


def answer(word: str) -> None:
    """Tell the benchmark."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
