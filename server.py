"""Serves Aura: reads the settings, hosts the modules, serves, stops."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while this still loads just ends it

from aura.kernel.cli import server_program  # noqa: E402
from aura.modules import AURA_MODULES  # noqa: E402

if __name__ == "__main__":
    server_program(AURA_MODULES)()
