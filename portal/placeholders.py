"""Placeholders in text fields of settings: `%env:MAIL_NAME%` and `%server:NAME%`.

The first is a variable of the environment whose name starts with MAIL_; the second is the name or an own variable of
the server that sends. Where no server sends, the portal is the server. Secrets never take placeholders. They are kept
as typed and filled in whenever a setting is used: in checks and tests as in sending.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from portal.mail.addresses import AddressError, parse_mailbox, same_address_key
from portal.mail.header_text import HeaderTextError
from portal.wording import N_, Text

PORTAL_AS_SERVER: Mapping[str, str] = MappingProxyType({"name": "Mail Portal"})
LONGEST_TYPED = 200  # characters: what they stand for may be shorter than what is kept
_PLACEHOLDER = re.compile(r"%(env|server):([^%\s]*)%")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # what Python makes of bytes that are no UTF-8: no page can show it


class UnknownPlaceholder(HeaderTextError):
    """A placeholder stands for nothing; `reason` names it and what would do."""


def has_placeholder(text: str) -> bool:
    """Whether something in the text is to be filled in."""
    return _PLACEHOLDER.search(text) is not None


def names_server(text: str) -> bool:
    """Whether what the text says depends on the server that sends."""
    return any(found[1] == "server" for found in _PLACEHOLDER.finditer(text))


def filled_in(text: str, server: Mapping[str, str] = PORTAL_AS_SERVER) -> str:
    """The text with each placeholder's value. Raises UnknownPlaceholder. What stands in a value is not looked at."""
    return _PLACEHOLDER.sub(lambda found: _value(found[1], found[2], server), text)


def does_not_fit(text: str) -> Text:
    """Why a text with placeholders is refused where the check's own reason would quote what they stand for."""
    return N_(
        "%(placeholder)s stands for something that does not fit here. Whoever runs the portal can change it.",
        placeholder=text.strip(),
    )


def filled_in_or_empty(text: str, server: Mapping[str, str] = PORTAL_AS_SERVER) -> str:
    """The same; "" where a placeholder stands for nothing any more: the value counts as not set."""
    try:
        return filled_in(text, server)
    except UnknownPlaceholder:
        return ""


def allowing(check: Callable[[str], str], server: Mapping[str, str] = PORTAL_AS_SERVER) -> Callable[[str], str]:
    """A check that takes placeholders: what they stand for now is checked, what was typed is kept.

    Its reasons never quote what they stand for, which whoever types them need not be able to read.
    """

    def checked(text: str) -> str:
        if not has_placeholder(text):
            return check(text)
        if len(text) > LONGEST_TYPED:
            raise HeaderTextError(
                N_("A text with placeholders has at most %(limit)s characters. Shorten it.", limit=LONGEST_TYPED)
            )
        filled = filled_in(text, server)
        try:
            check(filled)
        except ValueError as error:
            if not _quotes(getattr(error, "reason", None)):
                raise
            raise HeaderTextError(does_not_fit(text)) from None
        return text.strip()

    return checked


def check_sender(text: str, server: Mapping[str, str] = PORTAL_AS_SERVER) -> str:
    """The address of a From as it was typed, also as `Name <address>`.

    With placeholders it is an address alone: what is kept as typed cannot be split into name and address. Raises
    AddressError and UnknownPlaceholder.
    """
    return allowing(_address_alone, server)(text) if has_placeholder(text) else parse_mailbox(text).address


def _address_alone(text: str) -> str:
    mailbox = parse_mailbox(text)
    if not same_address_key(text):
        raise AddressError(
            N_("A text with placeholders must stand for an address alone here. Type the name under Display name.")
        )
    return mailbox.address


def _quotes(reason: Text | None) -> bool:
    """Whether a reason holds a text, which may be the one that was checked."""
    return reason is not None and not all(isinstance(value, int) for value in reason.values.values())


def _value(kind: str, name: str, server: Mapping[str, str]) -> str:
    if kind == "server":
        if name in server:
            return server[name]
        raise UnknownPlaceholder(
            N_(
                "%(placeholder)s stands for nothing here. Known: %(known)s.",
                placeholder=f"%server:{name}%",
                known=", ".join(f"%server:{one}%" for one in server),
            )
        )
    value = os.environ.get(name) if name.startswith("MAIL_") else None
    if value is None:
        raise UnknownPlaceholder(
            N_(
                "%(placeholder)s stands for nothing: the portal's environment has no variable of this name, or its "
                "name does not start with MAIL_. Whoever runs the portal can set it.",
                placeholder=f"%env:{name}%",
            )
        )
    if _SURROGATE.search(value):
        raise UnknownPlaceholder(
            N_(
                "%(placeholder)s stands for nothing: what the portal's environment holds under this name is not UTF-8. "
                "Whoever runs the portal can set it anew.",
                placeholder=f"%env:{name}%",
            )
        )
    return value
