"""Sentences in the reader's language, and moments in words. English is what ships; every string is marked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import cast
from zoneinfo import available_timezones

from babel import Locale
from flask import Flask, current_app, has_request_context, request
from flask_babel import Babel, format_datetime, format_decimal, format_timedelta, get_locale, gettext

from portal.paths import PACKAGE
from portal.web.access import current_user
from portal.wording import Text

_ENGLISH_DAY = "d MMM y"  # elsewhere as the language has it
_LANGUAGES = "languages"  # the name of what is found once, when the portal starts


def translate(text: Text | str) -> str:
    """A `Text` in the reader's language with its values filled in; a plain string stays as it is."""
    if not isinstance(text, Text):
        return text
    return text.in_words(lambda template: str(gettext(template)))


def readable_time(moment: datetime) -> str:
    """ "21 Nov 2026, 03:52 UTC", in the reader's time zone, which is said. `moment` is aware."""
    return str(format_datetime(moment, f"{_day()}, HH:mm z"))


def readable_day(moment: datetime) -> str:
    """ "21 Nov 2026", in the reader's time zone. `moment` is aware."""
    return str(format_datetime(moment, _day()))


def _day() -> str:
    """The pattern of a day with the month's short name (UTS #35)."""
    locale = get_locale()
    is_english = locale is None or locale.language == "en"
    return _ENGLISH_DAY if is_english else str(locale.datetime_skeletons["yMMMd"].pattern)


def machine_time(moment: datetime) -> str:
    """ "2026-11-21T03:52:11Z" (RFC 3339). `moment` is aware."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def readable_number(number: int) -> str:
    """ "37,748,736", with the separators of the reader's language."""
    return str(format_decimal(number))


def readable_seconds(duration: timedelta) -> str:
    """ "1.5", with one decimal, as the reader's language writes it."""
    return str(format_decimal(duration.total_seconds(), "0.0"))


def readable_duration(duration: timedelta) -> str:
    """ "3 minutes", rounded to one unit."""
    return str(format_timedelta(duration, granularity="second", threshold=1.5))


def available_languages() -> dict[str, str]:
    """What the portal speaks: each language by its code, called by its own name. English is always among them."""
    return cast("dict[str, str]", current_app.extensions[_LANGUAGES])


def chosen_language() -> str:
    """The person's own if the portal speaks it, else the best that the browser asks for, else English."""
    if not has_request_context():
        return "en"
    user, offered = current_user(), available_languages()
    if user is not None and user.language in offered:
        return user.language
    return request.accept_languages.best_match(offered) or "en"


def chosen_time_zone() -> str:
    """The person's own, else UTC."""
    user = current_user() if has_request_context() else None
    return user.time_zone if user is not None and user.time_zone in _time_zones() else "UTC"


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _own_names(locales: Iterable[Locale]) -> dict[str, str]:
    return {str(one): (one.get_display_name(one) or str(one)).capitalize() for one in locales}


def init_app(app: Flask) -> None:
    """Set up Flask-Babel and give templates `t`, `machine_time` and what begins with `readable`."""
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(PACKAGE / "translations"))
    babel = Babel(app, locale_selector=chosen_language, timezone_selector=chosen_time_zone)
    with app.app_context():
        app.extensions[_LANGUAGES] = _own_names((Locale("en"), *babel.list_translations()))
    app.jinja_env.filters["t"] = translate
    app.jinja_env.filters["machine_time"] = machine_time
    app.jinja_env.globals["readable_time"] = readable_time
    app.jinja_env.globals["readable_day"] = readable_day
    app.jinja_env.globals["readable_number"] = readable_number
    app.jinja_env.globals["readable_seconds"] = readable_seconds
    app.context_processor(lambda: {"language": str(get_locale() or "en").replace("_", "-")})
