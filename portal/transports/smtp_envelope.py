"""A message as SMTP takes it: MAIL and RCPT commands with their parameters, and content with its dots stuffed."""

from __future__ import annotations

import re

from portal.transports import OutgoingMessage, PermanentError, Step
from portal.transports.smtp_capabilities import Capabilities

_NOT_IN_A_PATH = re.compile(r"[\x00-\x20<>\x7f\ud800-\udfff]")


def envelope_commands(message: OutgoingMessage, offered: Capabilities) -> list[bytes]:
    """MAIL, one RCPT for each recipient, and DATA, each a line with CRLF (RFC 5321 4.1.1).

    SIZE where it is offered (RFC 1870), BODY=8BITMIME and SMTPUTF8 where the message needs them (RFC 6152, 6531).
    Raises PermanentError when this server cannot take such a message.
    """
    if not message.rcpt_to:
        raise PermanentError(Step.RECIPIENT, code="smtp.no_valid_recipients", seen="the message is for nobody")
    parameters = _size(message, offered) + _eight_bit(message, offered) + _smtputf8(message, offered)
    recipients = [b"RCPT TO:<%b>\r\n" % _path(address, Step.RECIPIENT) for address in message.rcpt_to]
    sender = b"MAIL FROM:<%b>%b\r\n" % (_path(message.mail_from, Step.SENDER), parameters)
    return [sender, *recipients, b"DATA\r\n"]


def stuffed_content(content: bytes) -> bytes:
    """The content with CRLF at its end and each leading dot doubled (RFC 5321 4.5.2), without the final dot.

    Raises PermanentError for a bare CR or LF: servers disagree where such a message ends, and mail can be
    smuggled in behind it (CVE-2023-51764 and its kin).
    """
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    # Without its CRs and with one before each LF it is the same again only where the two always stood together.
    if content.replace(b"\r", b"").replace(b"\n", b"\r\n") != content:
        raise PermanentError(Step.CONTENT, code="smtp.bare_newline", seen="a CR or LF stands alone in the message")
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\r\n.", b"\r\n..") if b"\r\n." in content else content


def _size(message: OutgoingMessage, offered: Capabilities) -> bytes:
    size = len(message.content)
    if 0 < offered.largest_message < size:
        seen = f"the message has {size} bytes, the server takes {offered.largest_message}"
        raise PermanentError(Step.SENDER, code="smtp.message_too_large", seen=seen)
    return b" SIZE=%d" % size if offered.has_size else b""


def _eight_bit(message: OutgoingMessage, offered: Capabilities) -> bytes:
    if message.content.isascii():
        return b""
    if not offered.eight_bit:
        seen = "the message has 8-bit bytes, and the server does not offer 8BITMIME"
        raise PermanentError(Step.SENDER, code="smtp.8bitmime_missing", seen=seen)
    return b" BODY=8BITMIME"


def _smtputf8(message: OutgoingMessage, offered: Capabilities) -> bytes:
    is_needed = message.needs_smtputf8 or not (message.mail_from + "".join(message.rcpt_to)).isascii()
    if is_needed and not offered.smtputf8:
        seen = "an address is not ASCII, and the server does not offer SMTPUTF8"
        raise PermanentError(Step.SENDER, code="smtp.smtputf8_missing", seen=seen)
    return b" SMTPUTF8" if is_needed else b""


def _path(address: str, step: Step) -> bytes:
    # Addresses were judged when they came in; here the last thing that could break out of a command is stopped.
    if _NOT_IN_A_PATH.search(address):
        raise PermanentError(
            step, code="smtp.bad_address", seen="an address holds a space, bracket or control character"
        )
    return address.encode()
