"""A way to PostgreSQL on which connections break at a chosen moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

COMMIT = b"COMMIT;\0"
CHUNK_BYTES = 64 * 1024


@dataclass
class CutConnections:
    """Passes everything on; cuts the connection at the next COMMIT once it is told to.

    Attributes:
        cut: "before" loses the COMMIT, "after" loses the answer to it; None cuts nothing.
    """

    url: URL
    cut: str | None = None
    cuts: int = 0


@asynccontextmanager
async def cut_connections(url: URL, folder: Path) -> AsyncIterator[CutConnections]:
    """Lends a URL of the same database by way of a socket in `folder`."""
    port = str(url.query["port"])
    cutting = CutConnections(url.update_query_dict({"host": str(folder)}))

    served: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.create_task(serve(reader, writer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_unix_connection(f"{url.query['host']}/.s.PGSQL.{port}")
        answers = asyncio.create_task(_pump(upstream, writer))
        while data := await reader.read(CHUNK_BYTES):
            cut = cutting.cut if COMMIT in data else None
            if cut:
                cutting.cut, cutting.cuts = None, cutting.cuts + 1
                await _ended(answers)
            if cut == "before":
                break
            downstream.write(data)
            if cut == "after":
                await upstream.read(CHUNK_BYTES)  # PostgreSQL has answered: it is committed
                break
        await _ended(answers)
        for each in (downstream, writer):
            each.close()
            with suppress(OSError):
                await each.wait_closed()

    server = await asyncio.start_unix_server(accept, folder / f".s.PGSQL.{port}")
    try:
        yield cutting
    finally:
        server.close()
        await asyncio.gather(*served)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
    writer.close()  # who has said good-bye waits for that
