"""Shows who may call what, as the contracts say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table

from aura.kernel import audit_service, module_service
from aura.kernel.contracts import access_of, describe, load_contract, service_names
from aura.kernel.events import admin_service, subscriber_service
from aura.kernel.interceptors.dependencies import DELIVER
from aura.kernel.module import ModuleSpec, ModuleSpecError
from generated.aura.options.v1 import access_pb2

HEADINGS = ("method", "from outside", "by modules")
KERNEL_SERVICES = (
    module_service.SERVICE,
    admin_service.SERVICE,
    audit_service.SERVICE,
    subscriber_service.SERVICE,
)


class AccessRuleMissing(ModuleSpecError):
    """Methods do not say who may call them, so nobody may host them."""

    def __init__(self, methods: Iterable[str]) -> None:
        super().__init__(
            "\n".join(f"{method} does not say who may call it; give it the option access" for method in methods)
        )


@dataclass(frozen=True, kw_only=True)
class AccessRow:
    """Who may call a method."""

    method: str
    outside: str
    modules: str


def require_access_rules(services: Iterable[str]) -> None:
    """Sees that every method of some services, whose contracts are loaded, says who may call it.

    Raises:
        AccessRuleMissing: Some do not.
    """
    missing = [
        path.lstrip("/")
        for service in services
        for path in _paths_of(service)
        if access_of(path).external == access_pb2.EXTERNAL_UNSPECIFIED
    ]
    if missing:
        raise AccessRuleMissing(missing)


def platform_services(specs: Mapping[str, ModuleSpec]) -> list[str]:
    """Returns the full names of all services of the platform, and loads their contracts."""
    for module in specs:
        load_contract(module)
    return [*(name for module, spec in specs.items() for name in service_names(module, spec)), *KERNEL_SERVICES]


def access_rows(specs: Mapping[str, ModuleSpec]) -> list[AccessRow]:
    """Returns who may call each method of the platform, by the method's name."""
    return [
        AccessRow(
            method=path.lstrip("/"),
            outside=_outside(access_of(path)),
            modules="those that publish events" if path == DELIVER else ", ".join(access_of(path).callers) or "none",
        )
        for service in sorted(platform_services(specs))
        for path in _paths_of(service)
    ]


def access_table(specs: Mapping[str, ModuleSpec]) -> Table:
    """Returns the same as a table for the terminal."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for service, rows in groupby(access_rows(specs), key=lambda row: row.method.partition("/")[0]):
        table.add_row(service, style="bold")
        for row in rows:
            table.add_row(f"  {row.method.partition('/')[2]}", row.outside, row.modules)
    return table


def access_page(specs: Mapping[str, ModuleSpec]) -> str:
    """Returns the same as a page in Markdown."""
    lines = [
        "# Who may call what",
        "",
        "Made from the contracts by `aura access --markdown`; do not edit.",
        "",
        "Calls from outside come over the network. Among the modules, `kernel` is the platform itself and the `aura`",
        "command on the server's machine. What the rule does not admit is refused, in every process. Which records are",
        "whose is up to the modules: see their pages. Health is open to everyone; reflection takes the role operator,",
        "but in development it is open too.",
        "",
        f"| {' | '.join(HEADINGS)} |",
        "|---|---|---|",
        *(f"| `{row.method}` | {row.outside} | {row.modules} |" for row in access_rows(specs)),
    ]
    return "\n".join(lines) + "\n"


def _paths_of(service: str) -> Iterator[str]:
    for method in describe(service).methods:
        yield f"/{service}/{method.name}"


def _outside(rule: access_pb2.Access) -> str:
    match rule.external:
        case access_pb2.EXTERNAL_PUBLIC:
            return "everyone"
        case access_pb2.EXTERNAL_AUTHENTICATED:
            return "everyone who is logged in"
        case access_pb2.EXTERNAL_RESTRICTED:
            roles = [access_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in rule.roles]
            own = [f"the user in `{rule.self_field}`"] if rule.self_field else []
            return ", ".join(roles + own)
        case _:
            return "nobody"
