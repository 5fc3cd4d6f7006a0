"""Makes the modules' contracts, generated code and migrations, in a folder that lasts as long as the benchmark."""

from __future__ import annotations

import shutil
from pathlib import Path

import generated.aura
from aura.kernel.tooling.protos import PROTOS, generate
from benchmarks.event_modules.specs import SINK, SOURCE

SERVICE = """syntax = "proto3";

package aura.source.v1;

import "aura/options/v1/access.proto";

service OrderService {
  rpc PlaceOrders(PlaceOrdersRequest) returns (PlaceOrdersResponse) {
    option (aura.options.v1.access) = {external: EXTERNAL_PUBLIC};
  }
}

// Orders first, first + step, … below end; so many per second, or as fast as it goes if 0.
message PlaceOrdersRequest {
  int64 first = 1;
  int64 end = 2;
  int64 step = 3;
  int64 subjects = 4;
  double per_second = 5;
}

message PlaceOrdersResponse {}
"""
EVENTS = """syntax = "proto3";

package aura.source.v1;

import "aura/options/v1/event.proto";

message OrderPlaced {
  option (aura.options.v1.event) = {
    type: "order.placed"
    subject_field: "subject"
  };
  string subject = 1;
  int64 number = 2;
}
"""
REVISION = """from alembic import op

from aura.kernel.migrations import create_event_tables, create_idempotency_table

revision, down_revision = "0001", None


def upgrade() -> None:
    op.execute("CREATE TABLE {module}.{table} (number bigint PRIMARY KEY, subject text)")
    create_idempotency_table("{module}")
    create_event_tables("{module}")
"""
ENVIRONMENT = "from aura.kernel.migrations import run_migrations\n\nrun_migrations()\n"
TABLES = {SOURCE: "orders", SINK: "effects"}


def write_code(folder: Path) -> None:
    """Write everything below `folder`."""
    protos = folder / "protos" / "aura"
    shutil.copytree(PROTOS / "aura" / "options", protos / "options")
    _write(protos / SOURCE / "v1" / "order_service.proto", SERVICE)
    _write(protos / SOURCE / "v1" / "events.proto", EVENTS)
    _write(protos / SINK / "v1" / "sink.proto", f'syntax = "proto3";\n\npackage aura.{SINK}.v1;\n')
    for module, table in TABLES.items():
        migrations = migrations_in(folder) / module
        _write(migrations / "env.py", ENVIRONMENT)
        _write(migrations / "versions" / "0001_orders.py", REVISION.format(module=module, table=table))
    generate(folder / "generated", protos.parent)


def migrations_in(folder: Path) -> Path:
    """Return where the migrations are."""
    return folder / "migrations"


def use_code(folder: Path) -> None:
    """Let the generated code be imported as that of the platform's own modules is."""
    generated.aura.__path__.append(str(folder / "generated" / "aura"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
