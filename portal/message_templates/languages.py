"""The languages that messages are written in, and values put into words of one: sentences, moments, days, durations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.support import NullTranslations, Translations
from babel.units import format_unit

from portal.paths import PACKAGE
from portal.wording import Text

CATALOGUES = PACKAGE / "translations"
Value = Text | str | datetime | date | timedelta
_UNITS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))


@dataclass(frozen=True)
class Language:
    """One that the wording really has, so that `lang` tells a screen reader the truth."""

    locale: Locale
    translations: NullTranslations

    @property
    def tag(self) -> str:
        """As RFC 5646 writes it: "pt-BR"."""
        return str(self.locale).replace("_", "-")

    def in_words(self, value: Value, *, time_zone: str = "") -> str:
        """A moment, which is aware, in that zone, which is said; a plain string stays as it is."""
        match value:
            case Text():
                return value.in_words(lambda template: str(self.translations.gettext(template)))
            case datetime():
                return f"{self._day(value.astimezone(_zone(time_zone)))}, {self._time(value, time_zone)}"
            case date():
                return self._day(value)
            case timedelta():
                return self._duration(value)
        return value

    def _day(self, day: date) -> str:
        """In English as most of the world writes it, elsewhere as the language does."""
        return format_date(day, "d MMMM y" if self.locale.language == "en" else "long", locale=self.locale)

    def _time(self, moment: datetime, time_zone: str) -> str:
        zone = _zone(time_zone)
        pattern = "HH:mm z" if zone is UTC else "HH:mm ZZZZ"  # "UTC"; "GMT+01:00", which needs no table of names
        return format_datetime(moment, pattern, tzinfo=zone, locale=self.locale)

    def _duration(self, duration: timedelta) -> str:
        """In the largest unit of which there are two or more, without a rest: "60 minutes", "7 days"."""
        fitting = ((name, unit) for name, unit in _UNITS if duration >= 2 * unit and not duration % unit)
        name, unit = next(fitting, _UNITS[-1])
        return format_unit(round(duration / unit), f"duration-{name}", locale=self.locale)


@lru_cache(maxsize=32)
def language_of(code: str, catalogues: Path = CATALOGUES) -> Language:
    """The language of that code; English for one without a catalogue in that folder."""
    try:
        locale = Locale.parse(code.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        locale = Locale("en")
    translations = Translations.load(catalogues, [str(locale), locale.language])
    return Language(locale if isinstance(translations, Translations) else Locale("en"), translations)


def _zone(name: str) -> tzinfo:
    """A zone of the IANA database; UTC for "" and for one that this machine does not know."""
    try:
        return ZoneInfo(name) if name and name != "UTC" else UTC
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return UTC
