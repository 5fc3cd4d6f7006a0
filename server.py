"""Serves Aura: reads the settings, hosts the modules, serves, stops."""

from aura.kernel.cli import run
from aura.kernel.serving import run_server
from aura.modules import AURA_MODULES

if __name__ == "__main__":
    run(run_server, AURA_MODULES)
