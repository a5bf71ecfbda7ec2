"""The section `email` of the settings file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from portal import audit
from portal.email_settings.settings import (
    FORMATS,
    PEOPLE_IDENTIFIERS,
    EmailSettings,
    check_attribute,
    check_contact,
    check_people_domain,
    differences,
    load_saved,
    save,
    why_incomplete,
)
from portal.mail.addresses import Mailbox, parse_address, parse_display_name, parse_mailbox
from portal.placeholders import check_sender, filled_in, has_placeholder
from portal.settings_file import Change, Node, Section

Checked = TypeVar("Checked")
SWITCHES = ("enabled", "notifications_enabled")
ADDRESSES = ("reply_to", "automatic_bcc")
KEYS = (
    *SWITCHES,
    "from_address",
    "display_name",
    *ADDRESSES,
    "administrator_contact",
    "format",
    "people_identifier",
    "people_domain",
    "custom_attribute",
)


def describe(session: Session) -> dict[str, Any]:
    """Every setting that is not empty."""
    return {key: value for key, value in asdict(load_saved(session).settings).items() if value != ""}


def plan(session: Session, node: Node) -> list[Change]:
    """What `apply` would change. Raises SettingsFileError for unknown keys and bad values."""
    return _changes(load_saved(session).settings, _wanted(load_saved(session).settings, node))


def apply(session: Session, node: Node, actor: audit.Actor, now: datetime) -> list[Change]:
    """Store what the file names. Raises SettingsFileError."""
    present = load_saved(session).settings
    wanted = _wanted(present, node)
    save(session, wanted, actor=actor, now=now)
    return _changes(present, wanted)


section: Section[audit.Actor] = Section("email", describe, plan, apply)


def _wanted(present: EmailSettings, node: Node) -> EmailSettings:
    node.refuse_unknown(KEYS)
    named: dict[str, Any] = {key: node.boolean(key) for key in SWITCHES}
    named["format"] = node.choice("format", FORMATS)
    named["people_identifier"] = node.choice("people_identifier", PEOPLE_IDENTIFIERS)
    named["people_domain"] = _checked(node, "people_domain", check_people_domain)
    named["custom_attribute"] = _checked(node, "custom_attribute", check_attribute)
    for key in ADDRESSES:
        named[key] = _checked(node, key, parse_address)
    named["display_name"] = _checked(node, "display_name", parse_display_name)
    named["administrator_contact"] = _checked(node, "administrator_contact", check_contact)
    sender = _checked(node, "from_address", parse_mailbox)
    if isinstance(sender, Mailbox):
        named["from_address"] = sender.address
        named["display_name"] = named["display_name"] or sender.display_name or None
    else:  # with placeholders, empty, or not named
        named["from_address"] = sender and (node.child("from_address") or node).passed(sender, check_sender)
    wanted = replace(present, **{key: value for key, value in named.items() if value is not None})
    if incomplete := why_incomplete(wanted):
        (node.child("people_identifier") or node).refuse(incomplete[1])
    return wanted


def _checked(node: Node, key: str, check: Callable[[str], Checked]) -> Checked | str | None:
    """The checked value of `key`: "" where it is empty, None where the file does not name it."""
    text = node.text(key)
    if not text:
        return text
    place = node.child(key) or node
    if has_placeholder(text):
        place.passed(filled_in(text), check)
        return text
    return place.passed(text, check)


def _changes(old: EmailSettings, new: EmailSettings) -> list[Change]:
    return [
        Change(f"email.{name}", _shown(before), _shown(after))
        for name, (before, after) in differences(old, new).items()
    ]


def _shown(value: str | bool) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value or None
