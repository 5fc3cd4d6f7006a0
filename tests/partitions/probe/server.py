"""A process of the probe modules, as `server.py` is one of the platform: `-m tests.partitions.probe.server FOLDER`."""

import os
import sys
from pathlib import Path

from aura.kernel.cli import plain_errors
from aura.kernel.serving import run_server
from aura.kernel.settings import read_settings
from tests.partitions.probe.code import use_code
from tests.partitions.probe.specs import PROBE_MODULES

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    use_code(folder)
    with plain_errors():
        run_server(read_settings(os.environ), PROBE_MODULES, migrations=folder / "migrations")
