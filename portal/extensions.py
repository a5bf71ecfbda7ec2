"""Objects that exist before an application does: the database, the CSRF guard, the current secret box and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from flask_wtf.csrf import CSRFProtect
from sqlalchemy.orm import DeclarativeBase
from werkzeug.local import LocalProxy

from portal import database

if TYPE_CHECKING:
    from portal.config import Config
    from portal.secret_box import SecretBox


class _Base(DeclarativeBase):
    metadata = database.metadata


db = SQLAlchemy(model_class=_Base, disable_autonaming=True)
csrf = CSRFProtect()

if TYPE_CHECKING:

    class Model(_Base):
        """What every table's class derives from."""

        __abstract__ = True
else:
    Model = db.Model


def _current_secret_box() -> Any:
    return current_app.extensions["secret_box"]


def _current_config() -> Any:
    return current_app.config["PORTAL"]


secret_box = cast("SecretBox", LocalProxy(_current_secret_box))
config = cast("Config", LocalProxy(_current_config))


def handed_down(name: str) -> Any:
    """What the composition root gave the application at work under this name."""
    return current_app.extensions[name]
