from collections.abc import Iterator, Mapping
from pathlib import Path

from aura.kernel.embedded_postgres.socket_directory import PORT

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# A patient's words may stand in a statement, in an error's detail (terse drops those) and in an error's own text
# (`invalid input syntax for type date: "…"`), which clients get anyway: the log keeps the server's own messages only.
CONFIDENTIAL_LOG = {
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_min_messages": "log",
    "log_statement": "none",
}


def server_settings(socket_directory: Path, *, durable: bool) -> dict[str, str]:
    """PostgreSQL's settings for a small server that only this machine's user can reach."""
    return {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": _quoted(str(socket_directory)),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_checkpoints": "off",
        **CONFIDENTIAL_LOG,
        **({} if durable else NOT_DURABLE),
    }


def as_arguments(settings: Mapping[str, str]) -> Iterator[str]:
    """Spells settings for the command line, where they win over the files."""
    for name, value in settings.items():
        yield from ("-c", f"{name}={value}")


def _quoted(path: str) -> str:
    """Keeps a comma in a path from making it two."""
    return '"' + path.replace('"', '""') + '"'
