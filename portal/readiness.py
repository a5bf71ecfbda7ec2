"""What `/readyz` asks: the database, its schema, the key, and a worker that lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import outbox, schema
from portal.secret_box import SecretBox
from portal.web.health import NotReady

SILENT_AFTER = timedelta(seconds=60)
_KEY_CHECK = "readiness.key:check"
_log = structlog.get_logger("portal.web")


def checks(engine: Engine, box: SecretBox) -> Mapping[str, Callable[[], None]]:
    """The checks by name; each raises NotReady with a sentence for strangers. `schema` is asked before every page."""
    watch = schema.Watch(engine, on_change=_tell)
    return {
        "database": lambda: _database(engine),
        "schema": lambda: _schema(watch),
        "key": lambda: _key(box),
        "worker": lambda: _worker(engine, datetime.now(UTC)),
    }


def _database(engine: Engine) -> None:
    try:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
    except SQLAlchemyError:
        raise NotReady("the database does not answer") from None


def _schema(watch: schema.Watch) -> None:
    if mismatch := watch.mismatch():
        raise NotReady(mismatch)


def _tell(mismatch: str) -> None:
    if mismatch:
        _log.error("no page is answered", reason=mismatch)
    else:
        _log.info("pages are answered again")


def _key(box: SecretBox) -> None:
    if box.open(box.seal("ready", _KEY_CHECK), _KEY_CHECK) != "ready":
        raise NotReady("the key does not open what it sealed")


def _worker(engine: Engine, now: datetime) -> None:
    with Session(engine) as session:
        seen_at = outbox.worker_seen_at(session)
    if seen_at is None or now - seen_at > SILENT_AFTER:
        raise NotReady("no worker is running")
