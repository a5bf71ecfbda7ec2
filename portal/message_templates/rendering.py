"""Wording filled with values. Values are data: nothing in them is read as a template, a header or markup."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from portal.mail.header_text import one_line
from portal.message_templates.kinds import kind
from portal.message_templates.languages import CATALOGUES, Language, Value, language_of
from portal.paths import TEMPLATES

TEXT_WIDTH = 72
_LINKS = ("link", "portal_url")
_QUOTED = ("server_said",)  # a server's own words, whose lines are kept
_WEB_ADDRESS = re.compile(r"https?://[^\s<>\"]+")


class PlaceholderError(ValueError):
    """The values do not fit the kind's placeholders."""


class MissingPlaceholder(PlaceholderError):
    """A placeholder has no value. An empty value is a value."""


class UnknownPlaceholder(PlaceholderError):
    """A value has no placeholder."""


class UnsafeLink(PlaceholderError):
    """A link is no http or https address."""


@dataclass(frozen=True)
class Rendered:
    """One message's wording; the subject is one line, `html` is None where text alone was asked for."""

    subject: str
    text: str = field(repr=False)
    html: str | None = field(repr=False)


def render_message(
    kind_name: str,
    values: Mapping[str, Value],
    *,
    language: str = "en",
    time_zone: str = "",
    format: str = "html",
    catalogues: Path = CATALOGUES,
) -> Rendered:
    """The shipped wording of a kind, filled with one value for each of its placeholders.

    Sentences, moments, days and durations among the values are put into words of the language; `time_zone` is a name
    of the IANA database, "" is UTC. `format` is "html" (HTML beside the text) or "text"; `catalogues` is the
    folder of the languages.
    Raises UnknownKind, MissingPlaceholder, UnknownPlaceholder, UnsafeLink. A language without a catalogue
    reads as English.
    """
    speaks = language_of(language, catalogues)
    data = _checked(kind_name, {name: speaks.in_words(one, time_zone=time_zone) for name, one in values.items()})
    environment = _environment(speaks)
    subject = one_line(environment.get_template(f"{kind_name}/subject.txt").render(data))
    data["subject"] = subject
    text = environment.get_template(f"{kind_name}/body.txt").render(data)
    html = environment.get_template(f"{kind_name}/body.html").render(data) if format == "html" else None
    return Rendered(subject, _laid_out(text), html)


def _checked(kind_name: str, values: Mapping[str, str]) -> dict[str, str]:
    placeholders = set(kind(kind_name).placeholders)
    if missing := placeholders - set(values):
        raise MissingPlaceholder(f"{kind_name} needs {', '.join(sorted(missing))}")
    if unknown := set(values) - placeholders:
        raise UnknownPlaceholder(f"{kind_name} has no {', '.join(sorted(unknown))}")
    for name in _LINKS:
        if name in values and not _WEB_ADDRESS.fullmatch(values[name]):
            raise UnsafeLink(f"{name} of {kind_name} is no web address")
    return {name: _quoted(value) if name in _QUOTED else one_line(value) for name, value in values.items()}


def _quoted(text: str) -> str:
    lines = (one_line(line) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _laid_out(text: str) -> str:
    """Lines of at most 72 characters but for long words such as links, and no two empty lines in a row."""
    lines = [_wrapped(line) for line in text.strip().splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _wrapped(line: str) -> str:
    words = line.lstrip(" ")
    indent = " " * (len(line) - len(words))
    return textwrap.fill(
        words,
        TEXT_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _underlined(text: str) -> str:
    lines = textwrap.wrap(text.strip(), TEXT_WIDTH)
    return "\n".join([*lines, "=" * max(map(len, lines))])


@lru_cache(maxsize=32)
def _environment(speaks: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / "mail"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(speaks.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.filters["underlined"] = _underlined
    environment.globals.update(language=speaks.tag, direction=speaks.locale.text_direction)
    return environment
