"""Measures Aura and its peers in one run: same machine, same PostgreSQL, rounds in turn.

    python -m benchmarks.run [--quick]

Prints tables in Markdown, as they stand in docs/performance.md, and as its last line one JSON object with the figures
that have targets. `--quick` takes two minutes and shows that everything works; its figures mean little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import access, gateway, load, pages, population, search, start
from benchmarks.access import Access
from benchmarks.database import running_database
from benchmarks.gateway import Costs
from benchmarks.pages import Growth
from benchmarks.population import Size
from benchmarks.rounds import Subject, play
from benchmarks.search import Searches
from benchmarks.servers import leave_core_to_servers, use_all_cores
from benchmarks.subjects import AURA, CHECKING_DRF, CHECKING_FASTAPI, DRF, ECHO, FASTAPI, REST, start_subjects


def main(*, quick: bool) -> None:
    """Measure everything and print it."""
    load.require_tools()
    size = population.QUICK if quick else population.FULL
    leave_core_to_servers()
    with tempfile.TemporaryDirectory(prefix="aura-bench-") as folder:
        figures = asyncio.run(with_database(Path(folder), size, rounds=1 if quick else 5, seconds=2 if quick else 5))
        say("the way of a call through authentication and access")
        checked = access.measure()
        print_access(checked)
        figures |= {"access_cpu_us": checked.warm_us, "access_cold_cpu_us": checked.cold_us}
        say("the way of a request through the gateway")
        costs = gateway.measure()
        print_gateway(costs)
        figures["gateway_overhead_us"] = costs.overhead_us
        use_all_cores()
        say("starting Aura on its embedded database")
        figures["start_seconds"] = start.measure(Path(folder))
    print(json.dumps({name: round(figure, 2) for name, figure in figures.items()}))


async def with_database(folder: Path, size: Size, *, rounds: int, seconds: float) -> dict[str, float]:
    """Measure what needs the filled database; return the figures that have targets."""
    async with running_database(folder) as database:
        say(f"filling the database with {size.users:,} users and {size.sessions:,} sessions")
        await population.fill(database.url, size)
        with ExitStack() as stack:
            subjects, admin = start_subjects(database, size, folder, stack)
            say(f"{rounds} rounds of {len(subjects)} subjects, {seconds:g} s each")
            play(subjects, database, rounds=rounds, seconds=seconds)
            by_name = {subject.name: subject for subject in subjects}
            aura, rest = by_name[AURA], by_name[REST]
            print_rounds(subjects)
            say(f"pages 1 and {size.deep_page:,} of lists")
            growth = pages.measure(aura.server.address, admin, size)
            print_pages(growth, size)
            say("searching while typing")
            searches = search.measure(aura.server.address, admin)
            print_searches(searches)
            return {
                "get_user_cpu_ratio_to_echo": aura.cpu_us / by_name[ECHO].cpu_us,
                "get_user_rps_ratio_to_drf": aura.per_second / max(by_name[name].per_second for name in DRF),
                "get_user_rps_ratio_to_fastapi": aura.per_second / by_name[FASTAPI].per_second,
                "rest_rps_ratio_to_drf": rest.per_second / max(by_name[name].per_second for name in CHECKING_DRF),
                "rest_rps_ratio_to_fastapi": rest.per_second / by_name[CHECKING_FASTAPI].per_second,
                "rest_rps_ratio_to_open_drf": rest.per_second / max(by_name[name].per_second for name in DRF),
                "rest_rps_ratio_to_open_fastapi": rest.per_second / by_name[FASTAPI].per_second,
                "page_growth_ratio": max(each.ratio for each in growth.values()),
                "search_p95_ms": searches.p95_ms,
                "rss_mb": aura.server.resident_megabytes(),
            }


def print_rounds(subjects: Sequence[Subject]) -> None:
    """Print what the servers did under load."""
    print_table(
        ("subject", "requests/s", "CPU, µs/request", "PostgreSQL, µs/request", "p50, ms", "p99, ms", "resident, MB"),
        [
            (
                subject.name,
                f"{subject.per_second:,.0f}",
                f"{subject.cpu_us:,.0f}",
                f"{subject.median(lambda each: each.postgres_us):,.0f}",
                f"{subject.median(lambda each: each.load.p50_ms):.1f}",
                f"{subject.median(lambda each: each.load.p99_ms):.1f}",
                f"{subject.server.resident_megabytes():.0f}",
            )
            for subject in subjects
        ],
    )


def print_pages(growth: dict[str, Growth], size: Size) -> None:
    """Print what pages cost."""
    print_table(
        ("list", "first page, ms", f"page {size.deep_page:,}, ms", "ratio"),
        [(name, f"{each.first_ms:.2f}", f"{each.deep_ms:.2f}", f"{each.ratio:.2f}") for name, each in growth.items()],
    )


def print_searches(searches: Searches) -> None:
    """Print what searches took."""
    print_table(
        ("searches", "p50, ms", "p95, ms", "p99, ms", "slowest"),
        [
            (
                f"{searches.count:,}",
                f"{searches.p50_ms:.1f}",
                f"{searches.p95_ms:.1f}",
                f"{searches.p99_ms:.1f}",
                f"`{searches.slowest}`",
            )
        ],
    )


def print_access(checked: Access) -> None:
    """Print what authentication and access cost."""
    print_table(
        ("authentication and access", "CPU, µs/call"),
        [("token and rights known", f"{checked.warm_us:.1f}"), ("neither known", f"{checked.cold_us:.0f}")],
    )


def print_gateway(costs: Costs) -> None:
    """Print what a request over HTTP costs that asks no database."""
    print_table(
        ("call without a database", "CPU, µs/call"),
        [
            ("over HTTP and JSON", f"{costs.http_us:.0f}"),
            ("in-process", f"{costs.in_process_us:.0f}"),
            ("what the gateway adds", f"{costs.overhead_us:.0f}"),
        ],
    )


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown, its figures to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    print("\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n", flush=True)


def say(text: str) -> None:
    """Tell who waits what is going on."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="see in two minutes whether it works")
    main(**vars(parser.parse_args()))
