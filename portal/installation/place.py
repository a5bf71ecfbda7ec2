"""Where a database is at home: what tells an installation from a copy of it.

On PostgreSQL the database itself says it, by the identifier of its cluster and its own number, which no dump takes
along; so any number of machines and instance folders share one installation. An SQLite file knows nothing of that
kind: there it is the path of the file, the machine, and the identifier in the instance folder. The public URL counts
for both. A value that cannot be found out is "" and is compared with nothing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.engine import Connection

from portal.config import Config
from portal.database import sqlite_path

ID_FILE = "installation-id"
_MACHINE_ID = Path("/etc/machine-id")
_SIGNS_OF_A_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_IS_ALLOWED = text("select has_function_privilege('pg_control_system()', 'execute')")
_CLUSTER = text("select system_identifier from pg_control_system()")
_NUMBER = text("select oid from pg_database where datname = current_database()")


@dataclass(frozen=True)
class Place:
    public_url: str
    database: str  # "postgresql:<cluster>:<number>" or "sqlite:<path>"
    machine: str
    folder_uuid: UUID | None  # of the instance folder; None where there is none, and on PostgreSQL

    @property
    def is_sqlite(self) -> bool:
        return self.database.startswith("sqlite:")


def place_of(connection: Connection, config: Config) -> Place:
    """Where this process finds the database, and as whom it works."""
    path = sqlite_path(connection.engine)
    if path is None:
        return Place(config.public_url, _postgresql(connection), "", None)
    return Place(config.public_url, f"sqlite:{path.resolve()}", _machine(), read_folder_uuid(config.instance))


def is_loopback(url: str) -> bool:
    """Whether nobody on another machine can reach the address."""
    return (urlsplit(url).hostname or "") in _LOOPBACK


def same_database(one: str, other: str) -> bool:
    """Whether two values of `Place.database` can be the same; an unknown part fits every other."""
    parts = zip(one.split(":", 2), other.split(":", 2), strict=False)
    return one.count(":") == other.count(":") and all(mine == theirs or not (mine and theirs) for mine, theirs in parts)


def read_folder_uuid(instance: Path) -> UUID | None:
    """The identifier that the instance folder holds, None where it holds none that can be read."""
    try:
        return UUID((instance / ID_FILE).read_text().strip())
    except (OSError, ValueError):
        return None


def write_folder_uuid(instance: Path, uuid: UUID) -> None:
    """Replace the identifier; whole or not at all. It is no secret: every user of the machine may read it."""
    new = instance / f".{ID_FILE}.{os.getpid()}.{uuid4().hex[:8]}"
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(f"{uuid}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(instance / ID_FILE)
    finally:
        new.unlink(missing_ok=True)


def _postgresql(connection: Connection) -> str:
    """Some hosts do not let everybody see the cluster's identifier; asking all the same would end the transaction."""
    cluster = connection.scalar(_CLUSTER) if connection.scalar(_IS_ALLOWED) else ""
    return f"postgresql:{cluster}:{connection.scalar(_NUMBER)}"


def _machine() -> str:
    """Not in a container: there it belongs to the image, and changes with every other one."""
    if any(sign.exists() for sign in _SIGNS_OF_A_CONTAINER):
        return ""
    with contextlib.suppress(OSError):
        return _MACHINE_ID.read_text().strip()[:64]
    return ""
