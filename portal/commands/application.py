"""What commands that touch the database begin with: the application, its schema checked, its log kept quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from portal.config import load_config

if TYPE_CHECKING:
    from flask import Flask


@contextmanager
def running() -> Iterator[Flask]:
    """The application for a part that keeps running: it logs as configured, and is not inside its context.

    Raises ConfigError, SchemaMismatch, or what the database's driver raises.
    """
    from portal import create_app, schema
    from portal.extensions import db

    app = create_app(load_config())
    with app.app_context():
        engine = db.engine
    try:
        schema.require_known(engine)
        yield app
    finally:
        engine.dispose()


@contextmanager
def opened() -> Iterator[Flask]:
    """The application for one command: inside its context, its database at a schema that this version knows.

    Raises as `running` does.
    """
    from portal import schema
    from portal.extensions import db

    with unchecked() as app:
        schema.require_known(db.engine)
        yield app


@contextmanager
def unchecked() -> Iterator[Flask]:
    """The same whatever the schema is. Only warnings are logged: a command says itself what it did."""
    from portal import create_app
    from portal.extensions import db

    config = load_config()
    app = create_app(replace(config, log_level="warning") if config.log_level == "info" else config)
    with app.app_context():
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()
