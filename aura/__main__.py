"""The `aura` command: what is for every platform, and what is for this one's modules."""

import typer

from aura.account_commands import admin_commands, keys_commands
from aura.kernel.cli import command_line, connector, plain_errors, settings_of
from aura.modules import AURA_MODULES


def main() -> None:
    """Runs the command line on the platform's modules."""
    app = command_line(AURA_MODULES)
    connect = connector(AURA_MODULES, "users")
    app.add_typer(admin_commands(connect), name="admin")
    app.add_typer(keys_commands(connect), name="keys")
    app.command("demo")(_demo)
    app()


def _demo() -> None:
    """Fill a running platform in development with people and sessions, and show tokens and how to call it."""
    from aura.demo import show  # noqa: PLC0415 other commands do without

    with plain_errors():
        typer.echo(show(settings_of(), AURA_MODULES))


if __name__ == "__main__":
    main()
