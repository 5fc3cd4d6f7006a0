"""What a run of tests has measured and proved, as the line of JSON that ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

Figures = dict[str, Any]
Outcomes = Mapping[str, Sequence[pytest.TestReport]]
OUTCOMES = ("passed", "failed", "error", "skipped")


def of_all(outcomes: Outcomes, recorded: Figures) -> Figures:
    """How many tests ended how, and what they recorded."""
    return {**{name: len(outcomes[name]) for name in OUTCOMES}, **recorded}


def of_conformance(outcomes: Outcomes, _: Figures) -> Figures:
    """How many cases there were, each on one transport, and how many of them failed."""
    failed = len(outcomes["failed"]) + len(outcomes["error"])
    return {"cases": len(outcomes["passed"]) + failed, "failed": failed}


def of_fuzz(outcomes: Outcomes, recorded: Figures) -> Figures:
    """How many random calls were compared, and how many tests found a difference."""
    return {"cases": recorded.get("fuzzed_calls", 0), "differences": len(outcomes["failed"]) + len(outcomes["error"])}


def of_envoy(outcomes: Outcomes, recorded: Figures) -> Figures:
    """How many requests were compared, how many were answered otherwise, and how many of these are explained."""
    failed = len(outcomes["failed"]) + len(outcomes["error"])
    found = recorded.get("differences", 0)
    compared = {"requests": recorded.get("requests", 0), "explained": recorded.get("explained", 0)}
    return {**compared, "differences": max(found, failed)}


def of_recorded(outcomes: Outcomes, recorded: Figures) -> Figures:
    """What the tests recorded, and how many failed."""
    return {**recorded, "failed": len(outcomes["failed"]) + len(outcomes["error"])}


def of_partitions(outcomes: Outcomes, _: Figures) -> Figures:
    """Of how many partitions every test passed: of the platform's own modules, and of the kernel's five."""
    tried: dict[bool, set[str]] = {True: set(), False: set()}
    wrong: dict[bool, set[str]] = {True: set(), False: set()}
    for name in ("passed", "failed", "error"):
        for report in outcomes[name]:
            partition = report.nodeid.partition("[")[2].rstrip("]")
            if "partition_" in report.nodeid and partition:
                kernel = "test_kernel_partitions" in report.nodeid
                tried[kernel].add(partition)
                if name != "passed":
                    wrong[kernel].add(partition)
    return {
        "partitions": len(tried[False]),
        "passed": len(tried[False] - wrong[False]),
        "kernel_partitions": len(tried[True]),
        "kernel_passed": len(tried[True] - wrong[True]),
    }


KINDS: Mapping[str, Callable[[Outcomes, Figures], Figures]] = {
    "all": of_all,
    "conformance": of_conformance,
    "envoy": of_envoy,
    "fuzz": of_fuzz,
    "partitions": of_partitions,
    "recorded": of_recorded,
}
