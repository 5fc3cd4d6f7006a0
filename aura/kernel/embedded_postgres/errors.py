from pathlib import Path


class EmbeddedPostgresError(Exception):
    """PostgreSQL could not be run; the message is one line and names what to do about it."""


class DataDirectoryInUse(EmbeddedPostgresError):
    """Another server process owns the data directory; `owner` is its pid, if it could be read."""

    def __init__(self, directory: Path, owner: int | None) -> None:
        self.owner = owner
        super().__init__(
            f"{directory} is in use by {f'process {owner}' if owner else 'another process'}; stop it, "
            "or set AURA_DATA_DIR to another directory, or set AURA_DATABASE_URL to a database that is already running"
        )
