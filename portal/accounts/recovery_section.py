"""The section `recovery` of the settings file."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import recovery_settings as rules
from portal.accounts.password_patterns import Pattern, check_expression
from portal.accounts.recovery_settings import RecoverySettings, check_redirect, differences, load, save, shown
from portal.mail.header_text import check_header_text
from portal.settings_file import Change, Node, Section
from portal.wording import N_

NUMBERS = {
    "attempts": (1, rules.MOST_ATTEMPTS),
    "questions": (0, rules.MOST_QUESTIONS),
    "shortest": (rules.LEAST_SHORTEST, rules.MOST_SHORTEST),
    "kept_passwords": (0, rules.MOST_KEPT),
}
LINES = {"instructions": rules.LONGEST_TEXT, "success_text": rules.LONGEST_TEXT, "link_text": rules.LONGEST_LINK_TEXT}
KEYS = tuple(field.name for field in fields(RecoverySettings))
_PATTERN_KEYS = ("pattern", "message")


def make_section(public_url: str) -> Section[audit.Actor]:
    """`public_url` is the portal's: people are led to its host alone."""
    return Section("recovery", describe, partial(_plan, public_url), partial(_apply, public_url))


def describe(session: Session) -> dict[str, Any]:
    """Every setting that is not empty."""
    settings = load(session)
    described = {key: getattr(settings, key) for key in KEYS} | {"identifiers": list(settings.identifiers)}
    described["patterns"] = [{"pattern": one.expression, "message": one.message} for one in settings.patterns]
    return {key: value for key, value in described.items() if value not in ("", [])}


def _plan(public_url: str, session: Session, node: Node) -> list[Change]:
    return _changes(load(session), _wanted(load(session), node, public_url))


def _apply(public_url: str, session: Session, node: Node, actor: audit.Actor, now: datetime) -> list[Change]:
    present = load(session)
    wanted = _wanted(present, node, public_url)
    save(session, wanted, actor=actor, now=now)
    return _changes(present, wanted)


def _wanted(present: RecoverySettings, node: Node, public_url: str) -> RecoverySettings:
    node.refuse_unknown(KEYS)
    named: dict[str, Any] = {key: node.integer(key, *bounds) for key, bounds in NUMBERS.items()}
    named |= {"means": node.choice("means", rules.MEANS), "captcha": node.boolean("captcha")}
    for key, limit in LINES.items():
        named[key] = node.checked(key, partial(_lines, limit=limit))
    named["redirect_url"] = node.checked("redirect_url", partial(check_redirect, public_url=public_url))
    named["identifiers"] = _identifiers(node.child("identifiers"))
    named["patterns"] = _patterns(node.child("patterns"))
    return replace(present, **{key: value for key, value in named.items() if value is not None})


def _identifiers(node: Node | None) -> tuple[str, ...] | None:
    if node is None:
        return None
    named = [item.as_text() for item in node.items()]
    if not named or set(named) - set(rules.IDENTIFIERS):
        node.refuse(N_("expected one or more of: %(known)s", known=", ".join(rules.IDENTIFIERS)))
    return tuple(kind for kind in rules.IDENTIFIERS if kind in named)


def _patterns(node: Node | None) -> tuple[Pattern, ...] | None:
    if node is None:
        return None
    if len(node.items()) > rules.MOST_PATTERNS:
        node.refuse(N_("expected at most %(count)s entries", count=rules.MOST_PATTERNS))
    return tuple(_pattern(item) for item in node.items())


def _pattern(node: Node) -> Pattern:
    node.refuse_unknown(_PATTERN_KEYS)
    message = node.required_text("message")
    node.required_text("pattern")
    return Pattern(node.checked("pattern", check_expression) or "", message)


def _lines(text: str, *, limit: int) -> str:
    for line in text.split("\n"):
        check_header_text(line, limit=limit)
    return text


def _changes(old: RecoverySettings, new: RecoverySettings) -> list[Change]:
    pairs = differences(old, new).items()
    return [Change(f"recovery.{name}", _text(before), _text(after)) for name, (before, after) in pairs]


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(shown(value)) or None
