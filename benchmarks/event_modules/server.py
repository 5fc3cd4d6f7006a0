"""A process of the two modules, as `server.py` is one of the platform: `-m benchmarks.event_modules.server FOLDER`."""

import os
import sys
from pathlib import Path

from aura.kernel.cli import plain_errors
from aura.kernel.serving import run_server
from aura.kernel.settings import read_settings
from benchmarks.event_modules.code import migrations_in, use_code
from benchmarks.event_modules.specs import EVENT_MODULES

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    use_code(folder)
    with plain_errors():
        run_server(read_settings(os.environ), EVENT_MODULES, migrations=migrations_in(folder))
