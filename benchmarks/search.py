"""How long a search takes while somebody types, a search with every letter, through Aura's gRPC port."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from benchmarks.callers import Admin
from generated.aura.mentalhealth.v1.disorder_service_pb2 import SearchDisordersRequest
from generated.aura.mentalhealth.v1.disorder_service_pb2_grpc import DisorderServiceStub

TYPED = (
    "generalized anxiety disorder",
    "major depressive disorder, recurrent",
    "depression",
    "PTSD",
    "post-traumatic stress",
    "ADHD",
    "attention deficit",
    "OCD",
    "obsessive-compulsive",
    "bipolar II",
    "borderline personality",
    "schizophrenia, paranoid",
    "alcohol dependence with withdrawal",
    "opioid abuse",
    "anorexia nervosa",
    "insomnia",
    "panic attacks",
    "social phobia",
    "adjustment disorder with mixed anxiety",
    "autism",
    "dementia in other diseases",
    "conduct disorder",
    "F33.1",
    "F41",
)
PASSES = 5


@dataclass(frozen=True, kw_only=True)
class Searches:
    """What the searches took, in milliseconds, and which one took longest."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    slowest: str


def measure(address: str, admin: Admin, *, texts: Sequence[str] = TYPED) -> Searches:
    """Type everything, several times; what a first call costs is not counted."""
    took: dict[str, list[float]] = {}
    with grpc.insecure_channel(address) as channel:
        search = admin.bound(DisorderServiceStub(channel).SearchDisorders)
        for turn in range(PASSES + 1):
            for text in texts:
                for typed in (text[:length] for length in range(1, len(text) + 1)):
                    begin = time.perf_counter()
                    matches = search(SearchDisordersRequest(query=typed)).matches
                    if turn:
                        took.setdefault(typed, []).append((time.perf_counter() - begin) * 1000)
                if not matches:
                    raise SystemExit(f"bench: a search for {text} finds nothing")
    every = [milliseconds for each in took.values() for milliseconds in each]
    cuts = statistics.quantiles(every, n=100)
    return Searches(
        count=len(every),
        p50_ms=cuts[49],
        p95_ms=cuts[94],
        p99_ms=cuts[98],
        slowest=max(took, key=lambda typed: statistics.median(took[typed])),
    )
