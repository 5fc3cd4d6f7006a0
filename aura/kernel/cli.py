"""The command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping

import typer

from aura.kernel.module import ModuleSpec
from aura.kernel.serving import EXPECTED_ERRORS, migrate, run_server
from aura.kernel.settings import Settings, read_settings

INTERRUPTED = 128 + signal.SIGINT
Action = Callable[[Settings, Mapping[str, ModuleSpec]], None]


def run(action: Action, specs: Mapping[str, ModuleSpec]) -> None:
    """Runs an action on the settings of the environment; exits with 1, after one clear line each, if it cannot."""
    try:
        action(read_settings(os.environ), specs)
    except EXPECTED_ERRORS as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"aura: {line}\n")
        sys.exit(1)
    except KeyboardInterrupt:  # Ctrl-C before the server serves; from then on it drains
        sys.exit(INTERRUPTED)


def command_line(specs: Mapping[str, ModuleSpec]) -> typer.Typer:
    """Returns the `aura` command for some modules."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, help="Aura: a mental-health platform backend.")

    @app.command()
    def serve() -> None:
        """Serve all modules until stopped."""
        run(run_server, specs)

    @app.command("migrate")
    def _migrate() -> None:
        """Bring the database up to date."""
        run(migrate, specs)

    return app
