"""Five small modules, of which each may call those behind it."""

from __future__ import annotations

from collections.abc import Mapping

from aura.kernel.module import ModuleSpec

PUBLISHER, SUBSCRIBERS = "alpha", ("beta", "gamma", "delta")
EVENT_TYPE = f"{PUBLISHER}.happened"
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


def _spec(name: str) -> ModuleSpec:
    package = f"tests.partitions.probe.{name}"
    return ModuleSpec(
        name=name.title(),
        description="Does what it is told",
        api_prefix=name,
        api_module=f"{package}.module",
        services_module=f"{package}.module",
        architecture="layered",
        boundaries={},
        dependencies=NAMES[NAMES.index(name) + 1 :],
        provides=("ProbeService",),
        publishes=(EVENT_TYPE,) if name == PUBLISHER else (),
        subscribes=(EVENT_TYPE,) if name in SUBSCRIBERS else (),
        entry=f"{package}.module:{name.title()}Module",
    )


PROBE_MODULES: Mapping[str, ModuleSpec] = {name: _spec(name) for name in NAMES}
