"""Makes the probe modules' generated code and migrations, which are alike but for their names."""

from __future__ import annotations

import shutil
from pathlib import Path

import generated.aura
from aura.kernel.tooling.protos import PROTOS, generate
from tests.partitions.probe.specs import NAMES, PUBLISHER

HERE = Path(__file__).parent
CALLERS = ", ".join(f'"{name}"' for name in NAMES)
SERVICE = """syntax = "proto3";

package aura.{name}.v1;

import "aura/options/v1/access.proto";
import "aura/probe/v1/plan.proto";

service ProbeService {{
  rpc Run(aura.probe.v1.Plan) returns (aura.probe.v1.Report) {{
    option (aura.options.v1.access) = {{external: EXTERNAL_PUBLIC, callers: [{callers}]}};
  }}
  rpc Stream(aura.probe.v1.Plan) returns (stream aura.probe.v1.Report) {{
    option idempotency_level = NO_SIDE_EFFECTS;
    option (aura.options.v1.access) = {{external: EXTERNAL_PUBLIC, callers: [{callers}]}};
  }}
  rpc Collect(stream aura.probe.v1.Plan) returns (aura.probe.v1.Report) {{
    option (aura.options.v1.access) = {{external: EXTERNAL_PUBLIC, callers: [{callers}]}};
  }}
  rpc Talk(stream aura.probe.v1.Plan) returns (stream aura.probe.v1.Report) {{
    option (aura.options.v1.access) = {{external: EXTERNAL_PUBLIC, callers: [{callers}]}};
  }}
}}
"""
EVENTS = """syntax = "proto3";

package aura.{name}.v1;

import "aura/options/v1/event.proto";
import "aura/probe/v1/plan.proto";

message ProbeHappened {{
  option (aura.options.v1.event) = {{
    type: "{name}.happened"
    subject_field: "subject"
  }};
  string subject = 1;
  int32 number = 2;
  aura.probe.v1.Mood mood = 3;
}}
"""
REVISION = """from alembic import op

from aura.kernel.migrations import create_audit_table, create_event_tables, create_idempotency_table, drop_event_tables

revision, down_revision = "0001", None


def upgrade() -> None:
    op.execute("CREATE TABLE {name}.runs (label text, caller text, user_id text)")
    op.execute("CREATE TABLE {name}.effects (subject text, number int, user_id text, position bigserial)")
    op.execute("GRANT USAGE ON SEQUENCE {name}.effects_position_seq TO aura_{name}")
    create_idempotency_table("{name}")
    create_event_tables("{name}")
    create_audit_table("{name}")


def downgrade() -> None:
    op.execute("DROP TABLE {name}.runs")
    op.execute("DROP TABLE {name}.effects")
    op.execute("DROP TABLE {name}.audit")
    drop_event_tables("{name}")
"""
ENVIRONMENT = "from aura.kernel.migrations import run_migrations\n\nrun_migrations()\n"


def write_code(folder: Path) -> None:
    """Writes contracts, generated code and migrations below `folder`."""
    protos = folder / "protos" / "aura"
    shutil.copytree(PROTOS / "aura" / "options", protos / "options")
    _write(protos / "probe" / "v1" / "plan.proto", (HERE / "plan.proto").read_text())
    for name in NAMES:
        _write(protos / name / "v1" / "probe_service.proto", SERVICE.format(name=name, callers=CALLERS))
        migrations = folder / "migrations" / name
        _write(migrations / "env.py", ENVIRONMENT)
        _write(migrations / "versions" / "0001_runs.py", REVISION.format(name=name))
    _write(protos / PUBLISHER / "v1" / "events.proto", EVENTS.format(name=PUBLISHER))
    generate(folder / "generated", protos.parent)


def server_arguments(folder: Path) -> tuple[str, ...]:
    """What Python is given to run a process of the probe modules."""
    return "-m", "tests.partitions.probe.server", str(folder)


def use_code(folder: Path) -> None:
    """Lets the generated code be imported as that of the platform's own modules is."""
    generated.aura.__path__.append(str(folder / "generated" / "aura"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
