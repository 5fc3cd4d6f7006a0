"""Serves Aura: reads the settings, hosts the modules, serves, stops."""

from aura.kernel.cli import serve
from aura.modules import AURA_MODULES

if __name__ == "__main__":
    serve(AURA_MODULES)
