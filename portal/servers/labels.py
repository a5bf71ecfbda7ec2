"""Words for the pages about servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from portal.connections import StoredConnection
from portal.connections.values import Role
from portal.servers.inheritance import Effective
from portal.web.translation import readable_number
from portal.wording import N_, Text

# What makes each field inherited again.
INHERITABLE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "from_address": {"from_address": ""},
        "display_name": {"display_name": ""},
        "reply_to": {"reply_to": ""},
        "automatic_bcc": {"automatic_bcc": ""},
        "format": {"format": ""},
        "connection": {"connection_id": None},
        "fallbacks": {"fallback_ids": None},
        "messages_per_minute": {"messages_per_minute": None},
        "messages_per_day": {"messages_per_day": None},
        "largest_message": {"largest_message": None},
        "most_recipients": {"most_recipients": None},
    }
)
_FIELDS: Mapping[str, Text] = MappingProxyType(
    {
        "from_address": N_("From address"),
        "display_name": N_("Display name"),
        "reply_to": N_("Reply-To address"),
        "automatic_bcc": N_("Automatic BCC"),
        "format": N_("Format"),
        "connection": N_("Connection"),
        "fallbacks": N_("Fallbacks"),
        "messages_per_minute": N_("Messages a minute"),
        "messages_per_day": N_("Messages a day"),
        "largest_message": N_("Largest message"),
        "most_recipients": N_("Recipients of one message"),
    }
)
_OWN = frozenset({"server", "reference", "instead"})  # taking the own value back changes something
_FORMATS = {"html": N_("HTML with a plain text part"), "text": N_("Plain text only")}
KEY_KINDS: Mapping[str, Text] = MappingProxyType({"live": N_("Live"), "test": N_("Test"), "team": N_("Team")})


@dataclass(frozen=True)
class EffectiveRow:
    """A value that holds, as the page shows it."""

    field: str
    label: Text
    value: Text | str  # "" for none
    where: Text
    is_own: bool


def effective_rows(effective: Mapping[str, Effective], connections: Sequence[StoredConnection]) -> list[EffectiveRow]:
    """The values that hold, in the order in which people read them; `connections` are all that there are."""
    return [
        EffectiveRow(name, label, _in_words(name, one.value, connections), one.where, one.origin in _OWN)
        for name, label in _FIELDS.items()
        if (one := effective.get(name))
    ]


def _in_words(name: str, value: Any, connections: Sequence[StoredConnection]) -> Text | str:
    if name == "format":
        return _FORMATS[value]
    if name == "fallbacks":
        return _fallbacks(value, connections)
    if name == "largest_message":
        return N_("%(octets)s bytes", octets=readable_number(value))
    if isinstance(value, int):
        return readable_number(value)
    if value is None:
        return N_("no limit")
    return str(value)


def _fallbacks(chosen: Sequence[UUID] | None, connections: Sequence[StoredConnection]) -> Text | str:
    """By name, in their order: the chosen ones that are still there, with None the organisation's."""
    if chosen is None:
        named = [one.values.name for one in connections if one.values.role is Role.FALLBACK]
    else:
        names = {one.id: one.values.name for one in connections}
        named = [names[one] for one in chosen if one in names]
    return ", ".join(named) or N_("no fallback")
