"""Rounds in which several servers take turns under load, so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.database import Database
from benchmarks.load import Measured
from benchmarks.servers import Server

WARM_UP_REQUESTS = 500

Load = Callable[[int, float], Measured]
"""Makes so many requests, or makes requests for so many seconds, whichever its load generator understands."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one subject did in one round; processor times are in microseconds per request."""

    load: Measured
    cpu_us: float
    postgres_us: float


@dataclass(kw_only=True)
class Subject:
    """Something that is asked of a server, and how it went, round by round."""

    name: str
    server: Server
    load: Load
    rounds: list[Round] = field(default_factory=list)

    def run(self, requests: int, seconds: float, database: Database) -> Round:
        """Put the server under load once."""
        server, postgres = self.server.cpu_seconds(), database.cpu_seconds()
        done = self.load(requests, seconds)
        return Round(
            load=done,
            cpu_us=(self.server.cpu_seconds() - server) / done.requests * 1e6,
            postgres_us=(database.cpu_seconds() - postgres) / done.requests * 1e6,
        )

    def median(self, figure: Callable[[Round], float]) -> float:
        """Return the median of a figure over the rounds."""
        return statistics.median(map(figure, self.rounds))

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.median(lambda each: each.load.per_second)

    @property
    def cpu_us(self) -> float:
        """The server's processor time per request."""
        return self.median(lambda each: each.cpu_us)


def play(subjects: Sequence[Subject], database: Database, *, rounds: int, seconds: float) -> None:
    """Let the subjects take turns, each for about so many seconds, after a round that is not counted."""
    speeds = {subject.name: subject.run(WARM_UP_REQUESTS, 1, database).load.per_second for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            done = subject.run(round(speeds[subject.name] * seconds), seconds, database)
            speeds[subject.name] = done.load.per_second
            subject.rounds.append(done)
