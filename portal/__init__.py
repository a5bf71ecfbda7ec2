"""Mail Portal: create_app() is the composition root, the only module that knows every room."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from portal.config import Config

# While the rooms are being built, one that does not stand yet is left out.
_ROOMS = ("web", "accounts", "email_settings", "connections", "test_messages")


def create_app(config: Config | None = None) -> Flask:
    """The portal as a WSGI application."""
    from flask import Flask

    from portal.config import load_config
    from portal.extensions import csrf
    from portal.paths import STATIC, TEMPLATES

    config = config or load_config()
    app = Flask("portal", template_folder=str(TEMPLATES), static_folder=str(STATIC))
    _configure(app, config)
    _prepare_database(app, config)
    csrf.init_app(app)
    for room in _ROOMS:
        _register(app, room)
    return app


def _configure(app: Flask, config: Config) -> None:
    from portal import database
    from portal.secret_box import SecretBox, load_or_make_key

    box = SecretBox(config.secret_keys or (load_or_make_key(config.instance),))
    app.extensions["secret_box"] = box
    app.config.update(
        PORTAL=config,
        SECRET_KEY=box.signing_keys[0],
        SECRET_KEY_FALLBACKS=list(box.signing_keys[1:]),
        SESSION_COOKIE_NAME="__Host-portal" if config.is_https else "portal",
        SESSION_COOKIE_SECURE=config.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=database.engine_options(config.database_url),
        MAX_CONTENT_LENGTH=2 * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=1024 * 1024,
        MAX_FORM_PARTS=500,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,
    )


def _prepare_database(app: Flask, config: Config) -> None:
    from flask_migrate import Migrate

    from portal import database
    from portal.extensions import db
    from portal.paths import MIGRATIONS

    if config.database_url.startswith("sqlite"):
        config.instance.mkdir(parents=True, exist_ok=True)
    db.init_app(app)
    Migrate(app, db, directory=str(MIGRATIONS), render_as_batch=True)
    with app.app_context():
        database.configure(db.engine)


def _register(app: Flask, room: str) -> None:
    if importlib.util.find_spec(f"portal.{room}") is None:
        return
    package = importlib.import_module(f"portal.{room}")
    if hasattr(package, "init_app"):
        package.init_app(app)
    if importlib.util.find_spec(f"portal.{room}.views") is not None:
        app.register_blueprint(importlib.import_module(f"portal.{room}.views").blueprint)
