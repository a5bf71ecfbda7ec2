"""User names, and the organisation's own attribute of a person: what may stand in them, and when two are the same."""

from __future__ import annotations

import unicodedata

from portal import audit
from portal.audit.known_words import is_server
from portal.mail.addresses import AddressError, parse_display_name
from portal.mail.header_text import HeaderTextError, check_header_text, one_line
from portal.wording import N_, Text

LONGEST_USER_NAME = 100  # characters
LANGUAGES = {"en": "English", "de": "Deutsch"}  # that a person may have, each by its own name
LONGEST_CUSTOM_VALUE = 320
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


class IdentifierError(ValueError):
    """The text cannot tell one person from others; `reason` says what to change."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def parse_name(text: str) -> str:
    """A person's name, as `parse_display_name`. Raises AddressError also for what the audit log calls no person."""
    name = parse_display_name(text)
    if name_key(name) in audit.NO_PERSONS or is_server(name_key(name)):
        raise AddressError(N_("The audit log uses this name for what is no person. Choose another one."))
    return name


def parse_user_name(text: str) -> str:
    """The user name without the spaces around it; "" stays "", and means none. Raises IdentifierError."""
    name = _one_line(text, LONGEST_USER_NAME)
    if "@" in name:
        raise IdentifierError(N_("A user name has no @: it would be taken for an address."))
    if any(character.isspace() for character in name):
        raise IdentifierError(N_("A user name has no spaces."))
    return name


def parse_custom_value(text: str) -> str:
    """The value without the spaces around it; "" stays "", and means none. Raises IdentifierError."""
    return _one_line(text, LONGEST_CUSTOM_VALUE)


def name_key(text: str) -> str:
    """What user names, and values of the organisation's own attribute, are compared by; "" for a blank text.

    The case of ASCII letters and the number of blanks do not count; no other letter folds into an ASCII letter
    (CVE-2019-19844).
    """
    return unicodedata.normalize("NFC", one_line(text)).translate(_ASCII_LOWER)


def _one_line(text: str, limit: int) -> str:
    try:
        line = check_header_text(text, limit=limit)
    except HeaderTextError as error:
        raise IdentifierError(error.reason) from error
    if len(name_key(line)) > 2 * limit:  # one character may become three: U+FB2C
        raise IdentifierError(N_("This is too long. Shorten it."))
    return line
