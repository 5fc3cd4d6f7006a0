"""The `aura` command."""

from aura.kernel.cli import command_line
from aura.modules import AURA_MODULES


def main() -> None:
    """Runs the command line on the platform's modules."""
    command_line(AURA_MODULES)()


if __name__ == "__main__":
    main()
