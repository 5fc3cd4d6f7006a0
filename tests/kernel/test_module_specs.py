from __future__ import annotations

import json
import subprocess
import sys

import pytest

from aura.kernel.module import ModuleSpec, ModuleSpecError, load_module, validate_services, validate_specs
from aura.modules import AURA_MODULES


def spec(name: str, **fields: object) -> ModuleSpec:
    given = {
        "name": name.title(),
        "description": "A module of a test",
        "api_prefix": name,
        "api_module": f"aura.{name}.api",
        "services_module": f"aura.{name}.services",
        "architecture": "layered",
        "boundaries": {},
        "entry": f"aura.{name}.module:Module",
    }
    return ModuleSpec(**{**given, **fields})


def problems_of(**specs: ModuleSpec) -> list[str]:
    with pytest.raises(ModuleSpecError) as caught:
        validate_specs(specs)
    return str(caught.value).splitlines()


def test_the_platforms_modules_pass():
    validate_specs(AURA_MODULES)


@pytest.mark.parametrize("name", AURA_MODULES)
def test_each_of_the_platforms_modules_can_be_loaded(name: str):
    module = load_module(AURA_MODULES[name])

    assert module.providers()


def test_takes_modules_that_share_a_dependency():
    validate_specs(
        {
            "a": spec("a", dependencies=("b", "c")),
            "b": spec("b", dependencies=("d",)),
            "c": spec("c", dependencies=("d",)),
            "d": spec("d"),
        }
    )


def test_takes_subscriptions_that_run_in_a_circle_but_no_dependencies_that_do():
    events = {"a": {"publishes": ("a.done",), "subscribes": ("b.done",)}}
    events["b"] = {"publishes": ("b.done",), "subscribes": ("a.done",)}

    validate_specs({name: spec(name, **each) for name, each in events.items()})

    with pytest.raises(ModuleSpecError, match="depend on each other in a circle"):
        validate_specs({"a": spec("a", dependencies=("b",)), "b": spec("b", dependencies=("a",))})


def test_refuses_an_unknown_dependency():
    (problem,) = problems_of(a=spec("a", dependencies=("ghost",)))

    assert problem == (
        "module a depends on ghost, which is no module; add it to AURA_MODULES, or remove the dependency"
    )


@pytest.mark.parametrize(
    ("dependencies", "circle"),
    [
        ({"a": "a"}, "a -> a"),
        ({"a": "b", "b": "a"}, "a -> b -> a"),
        ({"a": "b", "b": "c", "c": "a"}, "a -> b -> c -> a"),
        ({"x": "a", "a": "b", "b": "a"}, "a -> b -> a"),
    ],
)
def test_refuses_dependencies_in_a_circle(dependencies: dict[str, str], circle: str):
    (problem,) = problems_of(**{name: spec(name, dependencies=(other,)) for name, other in dependencies.items()})

    assert problem == f"modules depend on each other in a circle: {circle}; turn one of these calls into an event"


def test_refuses_a_shared_prefix():
    (problem,) = problems_of(a=spec("a", api_prefix="people"), b=spec("b", api_prefix="people"))

    assert problem == "modules a and b share the api_prefix people; give each its own"


def test_refuses_an_event_that_nobody_publishes():
    (problem,) = problems_of(a=spec("a", publishes=("a.done",)), b=spec("b", subscribes=("a.done", "a.gone")))

    assert problem == (
        "module b subscribes to a.gone, which no module publishes; add it to the publisher's `publishes`"
    )


def test_names_all_that_is_wrong():
    problems = problems_of(a=spec("a", dependencies=("ghost", "a"), subscribes=("x",)), b=spec("b", api_prefix="a"))

    assert len(problems) == 4


def test_refuses_a_provided_service_without_a_servicer():
    with pytest.raises(ModuleSpecError) as caught:
        validate_services("a", spec("a", provides=("OneService", "TwoService")), ["OneService"])

    assert str(caught.value) == (
        "module a provides TwoService but registers no servicer for it; register one in register_services, "
        "or take it out of `provides` in aura/modules.py"
    )


def test_refuses_a_servicer_of_a_service_that_is_not_provided():
    with pytest.raises(ModuleSpecError) as caught:
        validate_services("a", spec("a", provides=("OneService",)), ["OneService", "TwoService"])

    assert str(caught.value) == (
        "module a registers TwoService but does not provide it; add it to `provides` in aura/modules.py"
    )


def test_takes_the_services_provided_in_any_order():
    validate_services("a", spec("a", provides=("OneService", "TwoService")), ["TwoService", "OneService"])


def test_importing_the_specifications_imports_no_module():
    program = (
        "import json, sys, aura.modules; print(json.dumps([m for m in sys.modules if m.startswith(('aura', 'gen'))]))"
    )

    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    imported = {name for name in json.loads(printed) if name.split(".")[0] in {"aura", "generated"}}
    assert "aura.modules" in imported
    assert imported <= {"aura", "aura.modules", "aura.kernel", "aura.kernel.module"}
