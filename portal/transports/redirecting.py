"""A way out on which everything goes to one address: of a copy that must not mail the original's people.

Envelope and To, Cc and Bcc lines name that address alone. Who would have got the message stands in
`X-Original-Recipients`, each line as it was written under its name with `X-Original-` before it. Subject and body are
not touched, and neither is what the portal stores: its recipients stay who they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from portal.mail.addresses import Mailbox, needs_smtputf8
from portal.mail.encoding import mailboxes
from portal.transports import OutgoingMessage, PermanentError, SendReport, Step, Transport

_BLANK = b"\r\n\r\n"
_STARTS_OF_FIELDS = re.compile(rb"\r\n(?![ \t])")
_NAMES_RECIPIENTS = frozenset({b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc"})


class RedirectingTransport:
    """Hands the other transport each message as it goes to the one address."""

    def __init__(self, transport: Transport, address: str) -> None:
        self._transport = transport
        self._address = address
        self._announced: tuple[OutgoingMessage, OutgoingMessage] | None = None

    def send(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> SendReport:
        """As the protocol says; each recipient gets the one answer."""
        redirected = self._redirected(message)
        ahead = self._announce(following)
        report = self._transport.send(redirected, may_proceed=may_proceed, following=ahead)
        [only] = report.recipients
        return SendReport(tuple(only._replace(address=address) for address in message.rcpt_to), report.kept)

    def close(self) -> None:
        """End the other transport's conversation."""
        self._transport.close()

    def _announce(self, following: OutgoingMessage | None) -> OutgoingMessage | None:
        if following is None:
            return None
        try:
            ahead = redirect(following, self._address)
        except PermanentError:  # told in its own turn, and not held against this message
            return None
        self._announced = following, ahead
        return ahead

    def _redirected(self, message: OutgoingMessage) -> OutgoingMessage:
        """The very one that was announced, if it was: its envelope may be on its way."""
        announced, self._announced = self._announced, None
        if announced is not None and announced[0] is message:
            return announced[1]
        return redirect(message, self._address)


def redirect(message: OutgoingMessage, address: str) -> OutgoingMessage:
    """The message for one address alone. Raises PermanentError for a header that programs read in different ways."""
    header, body = _parted(message.content)
    if header.replace(b"\r", b"").replace(b"\n", b"\r\n") != header:
        raise PermanentError(Step.CONTENT, code="smtp.bare_newline", seen="a CR or LF stands alone in the header")
    fields = [_kept(field) for field in _STARTS_OF_FIELDS.split(header.removesuffix(b"\r\n")) if field]
    fields.append(b"X-Original-Recipients: " + ",\r\n ".join(message.rcpt_to).encode())
    fields.append(f"To: {mailboxes('To', [Mailbox(address)])}".encode())
    return replace(
        message,
        rcpt_to=(address,),
        content=b"".join(field + b"\r\n" for field in fields) + body,
        needs_smtputf8=message.needs_smtputf8 or needs_smtputf8(address),
    )


def _kept(field: bytes) -> bytes:
    name = field.partition(b":")[0].rstrip().lower()
    return b"X-Original-" + field if name in _NAMES_RECIPIENTS else field


def _parted(content: bytes) -> tuple[bytes, bytes]:
    """The header with its last CRLF, and the rest from the empty line on."""
    if content.startswith(b"\r\n"):
        return b"", content
    end = content.find(_BLANK)
    return (content, b"\r\n") if end < 0 else (content[: end + 2], content[end + 2 :])
