"""Sentences in the reader's language, and moments in words. English is what ships; every string is marked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Flask
from flask_babel import Babel, format_datetime, format_timedelta, get_locale, gettext

from portal.paths import PACKAGE
from portal.wording import Text

_TIME = "d MMM yyyy, HH:mm z"
_DAY = "d MMM yyyy"


def translate(text: Text | str) -> str:
    """A `Text` in the reader's language with its values filled in; a plain string stays as it is."""
    if not isinstance(text, Text):
        return text
    template = str(gettext(text.template))
    return template % text.values if text.values else template.replace("%%", "%")


def readable_time(moment: datetime) -> str:
    """ "21 Nov 2026, 03:52 UTC". `moment` is aware."""
    return str(format_datetime(moment, _TIME))


def readable_day(moment: datetime) -> str:
    """ "21 Nov 2026", in UTC. `moment` is aware."""
    return str(format_datetime(moment, _DAY))


def machine_time(moment: datetime) -> str:
    """ "2026-11-21T03:52:11Z" (RFC 3339). `moment` is aware."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def readable_duration(duration: timedelta) -> str:
    """ "3 minutes", rounded to one unit."""
    return str(format_timedelta(duration, granularity="second", threshold=1.5))


def init_app(app: Flask) -> None:
    """Set up Flask-Babel and give templates `t`, `machine_time`, `readable_time` and `readable_day`."""
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(PACKAGE / "translations"))
    Babel(app)
    app.jinja_env.filters["t"] = translate
    app.jinja_env.filters["machine_time"] = machine_time
    app.jinja_env.globals["readable_time"] = readable_time
    app.jinja_env.globals["readable_day"] = readable_day
    app.context_processor(lambda: {"language": str(get_locale() or "en").replace("_", "-")})
