"""Books sessions, each at a time of its own, and prints what it measured as one line of JSON.

    python -m benchmarks.bookings ADDRESS ACCESS_TOKEN --first 0 --requests 1000 --concurrency 16 --users 100000

Numbers tell bookings apart: no two runs on one database may use the same ones.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import grpc

from benchmarks.population import PAIRS, pair
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ScheduleTherapySessionRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub


def booking(number: int, users: int) -> ScheduleTherapySessionRequest:
    """Return a request for a time and a pair of people that no other number has."""
    therapist, patient = pair(users, number % PAIRS)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today + timedelta(days=1) + number // PAIRS * timedelta(hours=1)
    return ScheduleTherapySessionRequest(
        therapist_id=str(therapist),
        patient_id=str(patient),
        start_time=start,
        end_time=start + timedelta(minutes=50),
        request_id=f"benchmark-{number}",
    )


async def work(
    stub: TherapySessionServiceStub, requests: Iterator[ScheduleTherapySessionRequest], metadata: list[tuple[str, str]]
) -> list[float]:
    """Book one after the other; return how long each took, in milliseconds."""
    took = []
    for request in requests:
        begin = time.perf_counter()
        await stub.ScheduleTherapySession(request, metadata=metadata)
        took.append((time.perf_counter() - begin) * 1000)
    return took


async def main(address: str, access_token: str, *, first: int, requests: int, concurrency: int, users: int) -> None:
    """Book, with so many calls under way at a time."""
    prepared = iter([booking(number, users) for number in range(first, first + requests)])
    metadata = [("authorization", f"Bearer {access_token}")]
    async with grpc.aio.insecure_channel(address) as channel:
        stub = TherapySessionServiceStub(channel)
        await channel.channel_ready()
        begin = time.perf_counter()
        took = await asyncio.gather(*(work(stub, prepared, metadata) for _ in range(concurrency)))
        seconds = time.perf_counter() - begin
    cuts = statistics.quantiles([each for worker in took for each in worker], n=100)
    print(json.dumps({"requests": requests, "seconds": seconds, "p50_ms": cuts[49], "p99_ms": cuts[98]}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address")
    parser.add_argument("access_token")
    for option in ("first", "requests", "concurrency", "users"):
        parser.add_argument(f"--{option}", type=int, required=True)
    asyncio.run(main(**vars(parser.parse_args())))
