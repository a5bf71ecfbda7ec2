"""Addresses: what people type becomes exactly one address in one form, or is refused with a reason.

An address is kept as `local_part@domain` (RFC 5322 3.4.1): the local part as typed, in Unicode's NFC, the domain in
lower case and A-labels. So what is validated, stored, compared, written in headers and put in the envelope is
the same text. Never parsed: lists, groups, comments, quoted local parts, encoded words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from portal.mail.domains import DomainError, ascii_domain, has_disguised_ascii, readable_domain
from portal.mail.header_text import HeaderTextError, check_header_text
from portal.wording import N_, Text

ADDRESS_LIMIT = 254  # octets, RFC 5321 4.5.3.1.3 with erratum 1690 of RFC 3696
LOCAL_PART_LIMIT = 64  # octets, RFC 5321 4.5.3.1.1
DISPLAY_NAME_LIMIT = 200  # characters

_MAILBOX_LIMIT = 2 * DISPLAY_NAME_LIMIT + ADDRESS_LIMIT  # every character of a name may be escaped
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,"]')  # RFC 5322 3.2.3 without the full stop, which people type in names
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*)" *<([^<>]*)>')
_PLAIN_NAME = re.compile(r"([^<>]*)<([^<>]*)>")

_SHAPES: tuple[tuple[re.Pattern[str], Text], ...] = (
    (re.compile(r"=\?"), N_("An address cannot contain “=?”: it would be read as an encoded text. Type it plainly.")),
    (re.compile(r"[,;]"), N_("Type one address only, without a comma or semicolon.")),
    (re.compile(r'["\\]'), N_("Addresses with quotation marks or backslashes are not supported.")),
    (re.compile(r"[()]"), N_("Type the address without a comment in parentheses.")),
    (re.compile(r"@\["), N_("Type a domain after the @: an IP address in brackets is not supported.")),
    (re.compile(r"[<>]"), N_("Type the address alone, without < and >.")),
    (re.compile(r"\s"), N_("An address cannot contain spaces.")),
    (
        re.compile("[\u00ad\u061c\u200b-\u200f\u2060-\u2064\ufeff]"),
        N_("The address contains an invisible character. Type it again."),
    ),
    (re.compile(r"@.*@"), N_("An address contains exactly one @.")),
)

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")  # RFC 5322 3.2.3


class AddressError(HeaderTextError):
    """The text is no address, or no name and address; `reason` says what to change."""


@dataclass(frozen=True)
class Mailbox:
    """An address and perhaps a name. Whatever is built is fit for headers: anything else raises AddressError."""

    address: str
    display_name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", parse_address(self.address))
        object.__setattr__(self, "display_name", parse_display_name(self.display_name))

    @property
    def local_part(self) -> str:
        return self.address.rpartition("@")[0]

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def __str__(self) -> str:
        """What people read and may type: `Ada <ada@bücher.test>`; `parse_mailbox` reads it back."""
        address = readable_address(self.address)
        if not self.display_name:
            return address
        name = self.display_name
        if _SPECIALS.search(name):
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{name} <{address}>"


@lru_cache(maxsize=4096)
def parse_address(text: str) -> str:
    """The one address that the text is, in canonical form; spaces around it are dropped. Raises AddressError.

    At most 254 octets. Domains of closed networks are valid (`.test`, `.local`, `.internal`, `home.arpa`);
    a domain of one label (`localhost`) is not.
    """
    text = _checked_text(text, limit=ADDRESS_LIMIT)
    for shape, reason in _SHAPES:
        if shape.search(text):
            raise AddressError(reason)
    local_part, at, domain = text.rpartition("@")
    if not at:
        raise AddressError(N_("An address contains an @, as in name@contoso.test."))
    if not local_part or not domain:
        raise AddressError(N_("Type something before and after the @, as in name@contoso.test."))
    if has_disguised_ascii(text):
        raise AddressError(N_("The address contains a character that looks like an ordinary one but is another."))
    local_part = unicodedata.normalize("NFC", local_part)
    _check_local_part(local_part)
    address = f"{local_part}@{_checked_domain(domain)}"
    if len(address.encode()) > ADDRESS_LIMIT:
        raise _too_long()
    return address


def parse_mailbox(text: str) -> Mailbox:
    """`name@domain`, `<name@domain>`, `Name <name@domain>` or `"Name, Inc." <name@domain>`. Raises AddressError."""
    text = _checked_text(text, limit=_MAILBOX_LIMIT)
    if not text.endswith(">"):
        return Mailbox(parse_address(text))
    if quoted := _QUOTED_NAME.fullmatch(text):
        return Mailbox(quoted[2], re.sub(r"\\(.)", r"\1", quoted[1]))
    plain = _PLAIN_NAME.fullmatch(text)
    if not plain:
        raise AddressError(N_("Type a name and one address, as in: Ada Lovelace <ada@contoso.test>"))
    if _SPECIALS.search(plain[1]):
        raise AddressError(
            N_('A name with punctuation stands in quotation marks, as in: "Contoso, Inc." <mail@contoso.test>')
        )
    return Mailbox(plain[2], plain[1])


def parse_display_name(text: str) -> str:
    """The name without the spaces around it; "" stays "". Raises AddressError; at most 200 characters."""
    try:
        return check_header_text(text, limit=DISPLAY_NAME_LIMIT)
    except HeaderTextError as error:
        raise AddressError(error.reason) from error


def readable_address(address: str) -> str:
    """The address as people write it, its domain with U-labels; `parse_address` gives the same address again."""
    local_part, at, domain = address.rpartition("@")
    return f"{local_part}{at}{readable_domain(domain)}"


def needs_smtputf8(*addresses: str) -> bool:
    """Whether an address can only be sent to a server that offers SMTPUTF8 (RFC 6531)."""
    return not all(address.isascii() for address in addresses)


@lru_cache(maxsize=4096)
def same_address_key(text: str) -> str:
    """Equal for two spellings of one address; "" for a text that is no address, which equals none.

    The case of ASCII letters before the @ does not count; no other letter folds into an ASCII letter. What it
    finds is mailed at the stored address, never at the typed one (CVE-2019-19844).
    """
    try:
        local_part, at, domain = parse_address(text).rpartition("@")
    except AddressError:
        return ""
    return f"{local_part.translate(_ASCII_LOWER)}{at}{domain}"


def _checked_text(text: str, *, limit: int) -> str:
    if len(text) > limit:
        raise _too_long()
    try:
        text = check_header_text(text, limit=limit)
    except HeaderTextError as error:
        raise AddressError(error.reason) from error
    if not text:
        raise AddressError(N_("Type an address, as in name@contoso.test."))
    return text


def _too_long() -> AddressError:
    return AddressError(N_("This address is too long: mail servers take 254 characters."))


def _check_local_part(local_part: str) -> None:
    if len(local_part.encode()) > LOCAL_PART_LIMIT:
        raise AddressError(N_("The part before the @ is too long: mail servers take 64 characters."))
    if _DOT_ATOM.fullmatch(local_part):
        return  # as nearly all are; the validator takes many times as long to say the same
    try:
        validate_email(f"{local_part}@example.com", check_deliverability=False)
    except EmailNotValidError as error:
        raise AddressError(
            N_(
                "The part before the @ is not valid. It consists of letters, digits and characters such as . - _ +, "
                "and a full stop stands neither first nor last nor twice in a row."
            )
        ) from error


@lru_cache(maxsize=4096)
def _checked_domain(domain: str) -> str:
    try:
        domain = ascii_domain(domain)
        if "." in domain:
            validate_email(f"a@{_public_twin(domain)}", check_deliverability=False)
            return domain
    except (DomainError, EmailNotValidError) as error:
        raise AddressError(N_("The part after the @ is no domain that mail can be sent to.")) from error
    raise AddressError(
        N_("“%(domain)s” is no complete domain. Type one with a full stop, as in contoso.test.", domain=domain)
    )


def _public_twin(domain: str) -> str:
    """The domain with a public ending in place of a private one: the validator takes no list of its own per call.

    Closed networks use `.test`, `.local` and `home.arpa` (RFC 6761, RFC 6762, RFC 8375).
    """
    if domain.endswith((".test", ".local")) or f".{domain}".endswith(".home.arpa"):
        return domain.rpartition(".")[0] + ".com"
    return domain
