"""The command line."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from aura.kernel.diagnosis import diagnose
from aura.kernel.migrations import HEAD, Step
from aura.kernel.module import ModuleSpec
from aura.kernel.serving import EXPECTED_ERRORS, migrator_of, run_server
from aura.kernel.settings import read_settings

INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the program with status 1, after one clear line for each problem, where an expected error is raised."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"aura: {line}\n")
        sys.exit(1)
    except KeyboardInterrupt:  # Ctrl-C before the server serves; from then on it drains
        sys.exit(INTERRUPTED)


def serve(specs: Mapping[str, ModuleSpec]) -> None:
    """Serves all modules until stopped."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with plain_errors():
        run_server(read_settings(os.environ), specs)


def command_line(specs: Mapping[str, ModuleSpec]) -> typer.Typer:
    """Returns the `aura` command for some modules."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Aura: a mental-health platform backend.",
    )

    @app.command("serve")
    def _serve() -> None:
        """Serve all modules until stopped."""
        serve(specs)

    @app.command("migrate")
    def _migrate(
        *,
        module: Annotated[list[str] | None, typer.Option(help="Only this module; may be repeated.")] = None,
        to: Annotated[str, typer.Option(help="Revision to go to, up or down: head, base, or its name.")] = HEAD,
        plan: Annotated[bool, typer.Option("--plan", help="Show what would be done, and do nothing.")] = False,
    ) -> None:
        """Bring the database up to date, or to a revision."""
        unknown = set(module or ()) - set(specs)
        if unknown:
            raise typer.BadParameter(f"no module {', '.join(sorted(unknown))}; there are {', '.join(specs)}")
        migrate(module or list(specs), to=to, only_plan=plan)

    @app.command("modules")
    def _modules() -> None:
        """List the modules: what they provide and what they depend on."""
        Console().print(modules_table(specs))

    @app.command("check")
    def _check() -> None:
        """Check specifications, contracts, settings and the database; say what is wrong and how to mend it."""
        raise typer.Exit(code=0 if check(specs) else 1)

    return app


def migrate(modules: Sequence[str], *, to: str, only_plan: bool) -> None:
    """Migrates modules to a revision, and prints each step; or prints what would be done."""
    with plain_errors(), migrator_of(read_settings(os.environ), modules) as migrator:
        steps = asyncio.run(migrator.plan(to))
        numbers = itertools.count(1)

        def print_step(step: Step) -> None:
            direction = "up to" if step.up else "down from"
            typer.echo(f"{next(numbers)}/{len(steps)} {step.module} {direction} {step.revision}: {step.description}")

        if only_plan:
            for step in steps:
                print_step(step)
        else:
            asyncio.run(migrator.move_to(to, print_step))
        if not steps:
            typer.echo("nothing to do")


def modules_table(specs: Mapping[str, ModuleSpec]) -> Table:
    """Returns the modules as a table."""
    table = Table("module", "name", "architecture", "services", "depends on")
    for name, spec in specs.items():
        services, dependencies = "\n".join(spec.provides), ", ".join(spec.dependencies)
        table.add_row(name, spec.name, spec.architecture, services, dependencies or "-")
    return table


def check(specs: Mapping[str, ModuleSpec]) -> bool:
    """Prints what is well and what is wrong with this installation; returns whether all is well."""
    console, well = Console(), True
    for finding in diagnose(os.environ, specs):
        well &= not finding.problems
        mark = "[red]wrong[/]" if finding.problems else "[green]ok   [/]"
        console.print(f"{mark} {finding.subject}")
        for problem in finding.problems:
            console.print(f"      {problem}", markup=False, soft_wrap=True)
    return well
