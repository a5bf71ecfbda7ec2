"""What `/readyz` asks: database and schema, the key, and a worker that lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import outbox, schema
from portal.secret_box import SecretBox
from portal.web.health import NotReady

SILENT_AFTER = timedelta(seconds=60)
_KEY_CHECK = "readiness.key:check"


def checks(engine: Engine, box: SecretBox) -> Mapping[str, Callable[[], None]]:
    """The checks by name; each raises NotReady with a sentence for strangers."""
    return {
        "database": lambda: _database(engine),
        "key": lambda: _key(box),
        "worker": lambda: _worker(engine, datetime.now(UTC)),
    }


def _database(engine: Engine) -> None:
    try:
        schema.require_known(engine)
    except schema.SchemaMismatch as mismatch:
        raise NotReady(str(mismatch)) from None


def _key(box: SecretBox) -> None:
    if box.open(box.seal("ready", _KEY_CHECK), _KEY_CHECK) != "ready":
        raise NotReady("the key does not open what it sealed")


def _worker(engine: Engine, now: datetime) -> None:
    with Session(engine) as session:
        seen_at = outbox.worker_seen_at(session)
    if seen_at is None or now - seen_at > SILENT_AFTER:
        raise NotReady("no worker is running")
