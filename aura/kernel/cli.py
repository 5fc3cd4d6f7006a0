"""The command line."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console

from aura.kernel.access_table import access_page, access_table
from aura.kernel.audit_command import audit_command
from aura.kernel.database import sync_url
from aura.kernel.diagnosis import diagnose
from aura.kernel.envoy.config import envoy_config, write_config
from aura.kernel.envoy.front import Front, pair_of
from aura.kernel.errors import AuraError
from aura.kernel.event_commands import event_commands
from aura.kernel.migrations import HEAD, Step
from aura.kernel.module import ModuleSpec
from aura.kernel.module_table import modules_graph, modules_table
from aura.kernel.openapi_command import openapi_command
from aura.kernel.platform_client import platform_channel, process_channels, what_went_wrong
from aura.kernel.process_group import ProcessGroup
from aura.kernel.security.keys import read_secret_key
from aura.kernel.serving import EXPECTED_ERRORS, database_of, migrator_of, run_server, set_up_logging, topology_of
from aura.kernel.settings import Settings, read_settings
from aura.kernel.topology import read_topology

INTERRUPTED = 128 + signal.SIGINT

TopologyOption = Annotated[
    Path | None, typer.Option(help="File that says which process hosts which modules; default: AURA_TOPOLOGY_FILE.")
]
ProcessOption = Annotated[str | None, typer.Option(help="Which process of it this is; default: AURA_PROCESS.")]
UntilEofOption = Annotated[bool, typer.Option("--until-eof", help="Stop when standard input ends, too.")]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the program with status 1, after one clear line for each problem, where an expected error is raised."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"aura: {line}\n")
        sys.exit(1)
    except AuraError as error:  # of a call of a platform that runs
        sys.stderr.write(f"aura: {what_went_wrong(error)}\n")
        sys.exit(1)
    except KeyboardInterrupt:  # Ctrl-C before the server serves; from then on it drains
        sys.exit(INTERRUPTED)


def serve(
    specs: Mapping[str, ModuleSpec], *, topology: Path | None, process: str | None, until_eof: bool = False
) -> None:
    """Serves the modules of a process until stopped."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with plain_errors():
        run_server(settings_of(topology, process), specs, until_eof=until_eof)


def settings_of(topology: Path | None = None, process: str | None = None) -> Settings:
    """Returns the settings of the process's environment, with what the command line says instead."""
    given = {"AURA_TOPOLOGY_FILE": topology, "AURA_PROCESS": process}
    return read_settings(os.environ | {name: str(value) for name, value in given.items() if value is not None})


def connector(
    specs: Mapping[str, ModuleSpec], module: str
) -> Callable[[], AbstractAsyncContextManager[grpc.aio.Channel]]:
    """Returns what connects to a module of the platform that runs with this process's settings, in its own name."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[grpc.aio.Channel]:
        with plain_errors():
            async with platform_channel(settings_of(), specs, module) as channel:
                yield channel

    return connect


async def _processes(specs: Mapping[str, ModuleSpec]) -> AsyncGenerator[grpc.aio.Channel]:
    with plain_errors():
        async with aclosing(process_channels(settings_of(), specs)) as channels:
            async for channel in channels:
                yield channel


def server_program(specs: Mapping[str, ModuleSpec]) -> typer.Typer:
    """Returns the program that only serves."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command()
    def _serve(*, topology: TopologyOption = None, process: ProcessOption = None) -> None:
        """Serve all modules, or those of one process of a topology, until stopped."""
        serve(specs, topology=topology, process=process)

    return app


def command_line(specs: Mapping[str, ModuleSpec]) -> typer.Typer:
    """Returns the `aura` command for some modules."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Aura: a mental-health platform backend.",
    )

    @app.command("serve")
    def _serve(
        *, topology: TopologyOption = None, process: ProcessOption = None, until_eof: UntilEofOption = False
    ) -> None:
        """Serve all modules, or those of one process of a topology, until stopped."""
        serve(specs, topology=topology, process=process, until_eof=until_eof)

    @app.command("run")
    def _run(*, topology: TopologyOption = None) -> None:
        """Run all processes of a topology on this machine, until stopped."""
        raise typer.Exit(code=run(specs, topology))

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
        migrate(specs, module or list(specs), to=to, only_plan=plan)

    app.add_typer(_modules_commands(specs), name="modules")
    app.add_typer(_topology_commands(specs), name="topology")
    app.add_typer(event_commands(lambda: _processes(specs)), name="events")

    app.command("audit")(audit_command(specs, lambda module: connector(specs, module)()))

    _add_contract_commands(app, specs)

    @app.command("check")
    def _check() -> None:
        """Check specifications, contracts, settings and the database; say what is wrong and how to mend it."""
        raise typer.Exit(code=0 if check(specs) else 1)

    return app


def _add_contract_commands(app: typer.Typer, specs: Mapping[str, ModuleSpec]) -> None:
    """Adds what writes down the contracts in other forms."""

    @app.command("envoy-config")
    def _envoy_config(
        *,
        topology: TopologyOption = None,
        host: Annotated[str, typer.Option(help="Address that Envoy listens at.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(help="Port that Envoy listens at.", min=1, max=65535)] = 8080,
        certificate: Annotated[Path | None, typer.Option(help="What Envoy encrypts its own port with (PEM).")] = None,
        key: Annotated[Path | None, typer.Option(help="Key of that certificate (PEM).")] = None,
        client_certificate: Annotated[
            Path | None, typer.Option(help="What Envoy shows to Aura, where Aura asks for a certificate (PEM).")
        ] = None,
        client_key: Annotated[Path | None, typer.Option(help="Key of that certificate (PEM).")] = None,
        output: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
    ) -> None:
        """Write a configuration for Envoy, by which it serves REST and gRPC in front of all processes."""
        with plain_errors():
            settings = settings_of(topology)
            front = Front(
                host=host,
                port=port,
                own=pair_of("--certificate", certificate, "--key", key),
                client=pair_of("--client-certificate", client_certificate, "--client-key", client_key),
            )
            config = envoy_config(settings, specs, topology_of(settings, specs), front)
            write_config(config, output)

    @app.command("access")
    def _access(
        *, markdown: Annotated[bool, typer.Option("--markdown", help="Print a page for docs/.")] = False
    ) -> None:
        """Show who may call what, as the contracts say it."""
        if markdown:
            typer.echo(access_page(specs), nl=False)
        else:
            Console().print(access_table(specs))

    app.command("openapi")(openapi_command(specs))


def migrate(specs: Mapping[str, ModuleSpec], modules: Sequence[str], *, to: str, only_plan: bool) -> None:
    """Migrates modules to a revision, and prints each step; or prints what would be done."""
    with plain_errors(), migrator_of(read_settings(os.environ), modules, specs) as migrator:
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


def run(specs: Mapping[str, ModuleSpec], topology_file: Path | None) -> int:
    """Runs all processes of a topology, with one database between them; returns the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 1
    with plain_errors():
        settings = settings_of(topology_file)
        topology = topology_of(settings, specs)
        set_up_logging(settings)
        keys = read_secret_key(settings.secret_key_path, create=not settings.in_production)
        with database_of(settings, keys) as databases:
            environment = dict(os.environ)
            if databases.embedded is not None:
                environment["AURA_DATABASE_URL"] = sync_url(databases.url)
                environment.pop("AURA_DATABASE_ADMIN_URL", None)  # of another database
            group = ProcessGroup({name: _serve_command(settings, name) for name in topology.processes}, environment)
            status = asyncio.run(group.run(databases.revive))
    return status


def _serve_command(settings: Settings, process: str) -> list[str]:
    command = [sys.executable, "-m", "aura", "serve", "--until-eof"]
    if settings.topology_file is None:
        return command
    return [*command, "--topology", str(settings.topology_file), "--process", process]


def _modules_commands(specs: Mapping[str, ModuleSpec]) -> typer.Typer:
    app = typer.Typer(help="Show the modules.", invoke_without_command=True)

    @app.callback()
    def _modules(context: typer.Context, *, topology: TopologyOption = None) -> None:
        """List the modules: what they provide and depend on, where they are hosted, and whether they answer."""
        if context.invoked_subcommand is None:
            with plain_errors():
                found = topology_of(settings_of(topology), specs)
                Console().print(asyncio.run(modules_table(specs, found)))

    @app.command("graph")
    def _graph(*, topology: TopologyOption = None) -> None:
        """Draw the modules, their calls and their events as a Mermaid flowchart."""
        with plain_errors():
            typer.echo(modules_graph(specs, topology_of(settings_of(topology), specs)))

    return app


def _topology_commands(specs: Mapping[str, ModuleSpec]) -> typer.Typer:
    app = typer.Typer(help="Look at topologies.", no_args_is_help=True)

    @app.command("check")
    def _check(file: Annotated[Path, typer.Argument(help="The topology to look at.")]) -> None:
        """Say what is wrong with a topology, and how to mend it."""
        with plain_errors():
            topology = read_topology(file, specs, allow_plaintext=settings_of().allow_plaintext)
        for process in topology.processes.values():
            typer.echo(f"{process.name} at {process.address}: {', '.join(process.modules) or 'no modules'}")

    return app


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
