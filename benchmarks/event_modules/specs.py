"""Two small modules: one publishes, the other subscribes."""

from __future__ import annotations

from collections.abc import Mapping

from aura.kernel.module import ModuleSpec

SOURCE, SINK = "source", "sink"
EVENT_TYPE = "order.placed"


def _spec(name: str, *, provides: tuple[str, ...] = (), **events: tuple[str, ...]) -> ModuleSpec:
    package = f"benchmarks.event_modules.{name}"
    return ModuleSpec(
        name=name.title(),
        description="Measures what an event costs",
        api_prefix=name,
        api_module=f"{package}.module",
        services_module=f"{package}.module",
        architecture="layered",
        boundaries={},
        dependencies=(),
        provides=provides,
        entry=f"{package}.module:{name.title()}Module",
        **events,
    )


EVENT_MODULES: Mapping[str, ModuleSpec] = {
    SOURCE: _spec(SOURCE, provides=("OrderService",), publishes=(EVENT_TYPE,)),
    SINK: _spec(SINK, subscribes=(EVENT_TYPE,)),
}
