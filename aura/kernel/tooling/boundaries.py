"""The rules on who may import whom, made from the module configuration so that they cannot drift from it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

from aura.kernel.module import ModuleSpec

LAYERS: Mapping[str, tuple[str, ...]] = {
    "layered": ("module", "api", "(external)", "services", "repositories", "(events)", "models", "errors"),
    "clean": ("module", "api | infrastructure", "application", "domain"),
    "hexagonal": ("module", "adapters", "ports", "core"),
    "cqrs": ("module", "api", "(external)", "read | write", "store", "(errors)"),
}
"""The layers of each architecture, outermost first; each may import those behind it only."""

EXTERNAL_ADAPTERS: Mapping[str, str] = {
    "layered": "external",
    "clean": "infrastructure.external",
    "hexagonal": "adapters.external",
    "cqrs": "external",
}
"""Where each architecture calls other modules from."""

SUBSCRIBERS: Mapping[str, str] = {
    "layered": "api.subscribers",
    "clean": "api.subscribers",
    "hexagonal": "adapters.api.subscribers",
    "cqrs": "api.subscribers",
}
"""Where each architecture handles the events of other modules."""

PURE_LAYER: Mapping[str, str] = {"clean": "domain", "hexagonal": "core"}
"""The layer that knows the standard library and our errors only."""

GUARDED = (
    "aura.kernel.security.internal_identity",
    "aura.kernel.security.keys",
    "aura.kernel.interceptors.identity",
    "aura.kernel.remote",
    "aura.kernel.settings",
    "aura.kernel.platform_client",
    "aura.kernel.events.subscriber_service",
)
"""What a module could use to pass for somebody else, or to reach what is not its own."""

STANDALONE: Mapping[str, tuple[str, ...]] = {
    "aura.kernel.inprocess": (),
    "aura.kernel.embedded_postgres": (),
    "aura.kernel.errors": (),
    "aura.kernel.gateway": ("generated.buf",),  # the rules of protovalidate, which are not ours
}
"""Packages that depend on nothing else in Aura, but for these."""


class OnlyImports(Contract):
    """Modules of `package` import nothing of ours but `allowed`, and no library unless `libraries` holds."""

    type_name = "only_imports"
    package: Any = fields.StringField()
    allowed: Any = fields.SetField(subfield=fields.StringField())
    libraries: Any = fields.BooleanField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 import-linter's
        """Finds every import that is neither allowed nor inside the package."""
        broken = [
            f"{importer} imports {imported}"
            for importer in _inside(graph, self.package)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._permits(imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints the imports found."""
        for line in check.metadata["broken"]:
            output.print_error(line)

    def _permits(self, imported: str) -> bool:
        if any(_is_in(imported, package) for package in (self.package, *self.allowed)):
            return True
        root = imported.partition(".")[0]
        ours = root in {"aura", "generated"}
        return not ours and bool(self.libraries or root in sys.stdlib_module_names)


class OnlyImportedBy(Contract):
    """Modules of `importers` import `package` from `allowed` only."""

    type_name = "only_imported_by"
    package: Any = fields.StringField()
    importers: Any = fields.StringField()
    allowed: Any = fields.SetField(subfield=fields.StringField())
    except_for: Any = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 import-linter's
        """Finds every importer that is not allowed; another contract is about `except_for`."""
        broken = [
            f"{importer} imports {imported}"
            for imported in _inside(graph, self.package)
            if not (self.except_for and _is_in(imported, self.except_for))
            for importer in sorted(graph.find_modules_that_directly_import(imported))
            if _is_in(importer, self.importers) and not any(_is_in(importer, place) for place in self.allowed)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints the imports found."""
        for line in check.metadata["broken"]:
            output.print_error(line)


class IsImported(Contract):
    """At least one module of `importers` imports `package`: a declared dependency is used."""

    type_name = "is_imported"
    package: Any = fields.StringField()
    importers: Any = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 import-linter's
        """Looks for one import."""
        used = any(
            _is_in(importer, self.importers)
            for imported in _inside(graph, self.package)
            for importer in graph.find_modules_that_directly_import(imported)
        )
        return ContractCheck(kept=used)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints what is missing."""
        del check
        output.print_error(f"nothing in {self.importers} imports {self.package}; remove the dependency")


def contracts(specs: Mapping[str, ModuleSpec]) -> Iterator[dict[str, Any]]:
    """Yields the contracts that the module configuration implies, as import-linter takes them."""
    modules = [f"aura.{name}" for name in specs]
    yield {"name": "modules never import one another", "type": "independence", "modules": modules}
    yield {
        "name": "the kernel knows no module",
        "type": "forbidden",
        "source_modules": ["aura.kernel"],
        "forbidden_modules": [*modules, "aura.modules", *(f"generated.aura.{name}" for name in specs)],
    }
    yield {
        "name": "modules leave alone what tells who is calling",
        "type": "forbidden",
        "source_modules": modules,
        "forbidden_modules": GUARDED,
        "allow_indirect_imports": "true",
    }
    for package, allowed in STANDALONE.items():
        yield _only_imports(f"{package} depends on nothing else in Aura", package, allowed, libraries=True)
    for name, spec in specs.items():
        yield from _module_contracts(name, spec, specs)


def _module_contracts(name: str, spec: ModuleSpec, specs: Mapping[str, ModuleSpec]) -> Iterator[dict[str, Any]]:
    package = f"aura.{name}"
    yield {
        "name": f"{name} keeps its layers ({spec.architecture})",
        "type": "layers",
        "layers": LAYERS[spec.architecture],
        "containers": [package],
        "exhaustive": "true",
    }
    if spec.architecture in PURE_LAYER:
        layer = f"{package}.{PURE_LAYER[spec.architecture]}"
        yield _only_imports(f"{layer} is pure", layer, ("aura.kernel.errors",), libraries=False)
    for other in specs:
        if other == name:
            continue
        declared = other in spec.dependencies
        adapters = f"{package}.{EXTERNAL_ADAPTERS[spec.architecture]}"
        yield {
            "name": f"{name} calls {other} from its external adapters only"
            if declared
            else f"{name} does not call {other}, which it does not declare",
            "type": OnlyImportedBy.type_name,
            "package": f"generated.aura.{other}",
            "importers": package,
            "allowed": [adapters, f"{package}.module"] if declared else [],
            "except_for": f"generated.aura.{other}.v1.events_pb2",
        }
        subscribed = any(event in specs[other].publishes for event in spec.subscribes)
        subscribers = f"{package}.{SUBSCRIBERS[spec.architecture]}"
        yield {
            "name": f"{name} handles events of {other} in its subscribers only"
            if subscribed
            else f"{name} does not handle events of {other}, to which it does not subscribe",
            "type": OnlyImportedBy.type_name,
            "package": f"generated.aura.{other}.v1.events_pb2",
            "importers": package,
            "allowed": [subscribers, f"{package}.module"] if subscribed else [],
            "except_for": "",
        }
        if declared:
            yield {
                "name": f"{name} uses its dependency {other}",
                "type": IsImported.type_name,
                "package": f"generated.aura.{other}",
                "importers": adapters,
            }


def lint(specs: Mapping[str, ModuleSpec], root: Path) -> str:
    """Returns what import-linter finds in the tree below `root`; empty if all contracts are kept."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "contracts.toml"
        config.write_text(_as_toml(contracts(specs)))
        done = subprocess.run(  # noqa: S603 the arguments are ours
            [Path(sys.executable).parent / "lint-imports", "--config", config, "--no-cache", "--no-logo"],
            capture_output=True,
            text=True,
            check=False,
            cwd=root,
            env={"PYTHONPATH": str(root), "COLUMNS": "200"},
        )
    return done.stdout + done.stderr if done.returncode else ""


def _as_toml(contracts: Iterator[dict[str, Any]]) -> str:
    types = [f"{cls.type_name}: {cls.__module__}.{cls.__name__}" for cls in (OnlyImports, OnlyImportedBy, IsImported)]
    lines = [
        "[tool.importlinter]",
        'root_packages = ["aura", "generated"]',
        "include_external_packages = true",
        f"contract_types = {json.dumps(types)}",
    ]
    for contract in contracts:
        lines.append("[[tool.importlinter.contracts]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in contract.items()]
    return "\n".join(lines)


def _only_imports(name: str, package: str, allowed: tuple[str, ...], *, libraries: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": OnlyImports.type_name,
        "package": package,
        "allowed": allowed,
        "libraries": str(libraries).lower(),
    }


def _inside(graph: ImportGraph, package: str) -> list[str]:
    return sorted(module for module in graph.modules if _is_in(module, package))


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
