"""The envelope as headers, for ways out that know no envelope.

Microsoft Graph and the Gmail API send a message to whomever its To, Cc and Bcc lines name, and take those lines
off that nobody may see. The portal's envelope may name more (hidden recipients) and fewer: after a mixed reply of
another way out only the rest is due, and a program that hands its mail to the relay may name each recipient apart.
So recipients who are in no line come into a Bcc line, and a line that names anybody else is written anew with the
recipients alone; as it was written, it stays readable under an `X-Addressed-` name. Nobody is mailed twice, nobody
is left out, and only a message that is split so shows fewer addressees than it had. Its body is never touched.
"""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import getaddresses

from portal.mail.addresses import AddressError, Mailbox, same_address_key
from portal.mail.encoding import mailboxes
from portal.mail.header_text import one_line
from portal.transports import OutgoingMessage, PermanentError, Step

_BLANK = b"\r\n\r\n"
_STARTS_OF_FIELDS = re.compile(rb"\r\n(?![ \t])")
_SHOWN = {b"to": "To", b"cc": "Cc"}
_HIDDEN = {b"bcc", b"resent-bcc"}


def with_recipients_in_headers(message: OutgoingMessage) -> bytes:
    """The content whose To, Cc and Bcc lines together name `rcpt_to` and nobody else.

    Raises PermanentError for a message that is for nobody, has an address that no header can hold or that cannot be
    read, or has a CR or LF alone in its header: programs disagree where such a header ends, and so whom it names.
    """
    if not message.rcpt_to:
        raise PermanentError(Step.RECIPIENT, code="smtp.no_valid_recipients", seen="the message is for nobody")
    header, body = _parted(message.content)
    if header.replace(b"\r", b"").replace(b"\n", b"\r\n") != header:
        raise PermanentError(Step.CONTENT, code="smtp.bare_newline", seen="a CR or LF stands alone in the header")
    envelope = _Envelope(message.rcpt_to)
    fields: list[bytes] = []
    for field in _STARTS_OF_FIELDS.split(header.removesuffix(b"\r\n")) if header else []:
        fields += envelope.lines_for(field)
    if envelope.unnamed:
        fields.append(_line("Bcc", [_mailbox(address) for address in envelope.unnamed.values()]))
    return b"".join(field + b"\r\n" for field in fields) + body


class _Envelope:
    """The recipients, and which of them no line has named yet."""

    def __init__(self, rcpt_to: tuple[str, ...]) -> None:
        self._recipients = {_key(address): address for address in rcpt_to}
        self.unnamed = dict(self._recipients)

    def lines_for(self, field: bytes) -> list[bytes]:
        """What stands in place of a line of the header."""
        name = field.partition(b":")[0].rstrip().lower()
        if name in _HIDDEN:
            return []
        if name not in _SHOWN:
            return [field]
        named = [(_key(address), display_name) for display_name, address in _addresses(field)]
        kept = [(key, display_name) for key, display_name in named if key in self._recipients]
        for key, _ in kept:
            self.unnamed.pop(key, None)
        if kept == named:
            # An empty group names nobody, and not every service takes a line of that kind.
            return [field] if named else []
        listed = [_mailbox(self._recipients[key], display_name) for key, display_name in kept]
        return [*([_line(_SHOWN[name], listed)] if listed else []), b"X-Addressed-" + field]


def _parted(content: bytes) -> tuple[bytes, bytes]:
    """The header with its last CRLF, and the rest from the empty line on."""
    if content.startswith(b"\r\n"):
        return b"", content
    end = content.find(_BLANK)
    return (content, b"\r\n") if end < 0 else (content[: end + 2], content[end + 2 :])


def _addresses(field: bytes) -> list[tuple[str, str]]:
    """Names, encoded as they are, and addresses; groups are dissolved."""
    value = field.partition(b":")[2].replace(b"\r\n", b"").decode("utf-8", "replace")
    try:
        return [(name, address) for name, address in getaddresses([value]) if address]
    except RecursionError:
        seen = "a line of addresses has comments inside comments without end"
        raise PermanentError(Step.RECIPIENT, code="smtp.bad_address", seen=seen) from None


def _key(address: str) -> str:
    return same_address_key(address) or address


def _mailbox(address: str, encoded_name: str = "") -> Mailbox:
    try:
        return Mailbox(address, _name(encoded_name))
    except AddressError:
        pass  # a name that cannot be written safely is left out
    try:
        return Mailbox(address)
    except AddressError as error:
        seen = "an address holds a character that no address may hold"
        raise PermanentError(Step.RECIPIENT, code="smtp.bad_address", seen=seen) from error


def _name(encoded: str) -> str:
    """The name as people read it (RFC 2047), on one line; "" where it cannot be decoded."""
    try:
        parts = decode_header(encoded)
        return one_line(
            "".join(text if isinstance(text, str) else text.decode(charset or "ascii") for text, charset in parts)
        )
    except (HeaderParseError, LookupError, ValueError):
        return ""


def _line(name: str, listed: list[Mailbox]) -> bytes:
    return f"{name}: {mailboxes(name, listed)}".encode()
