"""Replies: a code, an enhanced status code (RFC 3463), and a sentence that names the way out, as ASCII lines.

They are in English, whatever language people read pages in: SMTP names none.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from dataclasses import dataclass

from portal.wording import Text

_WIDTH = 400  # octets of text on a line; RFC 5321 4.5.3.1.5 allows 512 with the codes
_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "–": "-", "—": "-"})
_NOT_SHOWN = re.compile(r"[^ -~]")


@dataclass(frozen=True)
class Reply:
    """One reply. `closes`: nothing more is said in this conversation."""

    code: int
    status: str  # "5.7.8"; "" where none belongs (RFC 2034 section 4)
    text: Text | str
    closes: bool = False

    @property
    def is_failure(self) -> bool:
        return self.code >= 500

    def encoded(self) -> bytes:
        """The lines as they are sent."""
        text = _ascii(str(self.text))
        lines = [text] if len(text) <= _WIDTH else textwrap.wrap(text, _WIDTH)
        status = f"{self.status} " if self.status else ""
        ends = ["-"] * (len(lines) - 1) + [" "]
        return "".join(f"{self.code}{end}{status}{line}\r\n" for end, line in zip(ends, lines, strict=True)).encode()


def fixed(code: int, status: str, text: Text | str) -> bytes:
    """A reply that never changes."""
    return Reply(code, status, text).encoded()


def _ascii(text: str) -> str:
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    shown = "".join(one for one in decomposed if not unicodedata.combining(one))
    return _NOT_SHOWN.sub("?", " ".join(shown.split()))


OK = fixed(250, "2.0.0", "OK")
SENDER_OK = fixed(250, "2.1.0", "Sender OK")
RECIPIENT_OK = fixed(250, "2.1.5", "Recipient OK")
GO_AHEAD = fixed(354, "", "End the message with a line that holds only a full stop")
SIGNED_IN = fixed(235, "2.7.0", "Signed in")
READY_FOR_TLS = fixed(220, "2.0.0", "Ready for TLS")
BYE = fixed(221, "2.0.0", "Bye")
VERIFY = fixed(252, "2.5.2", "Addresses are not looked up; send the message")
HELP = fixed(214, "2.0.0", "AUTH DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY")

UNKNOWN_COMMAND = Reply(500, "5.5.1", "This command is not known.")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "This command is not offered.")
LINE_TOO_LONG = Reply(500, "5.5.6", "The line is too long: commands have 2048 octets at most.")
NO_LINE = Reply(500, "5.5.6", "The line is too long and does not end.", closes=True)
BARE_LINE_END = Reply(
    500, "5.5.2", "Lines end with CR LF, and neither stands alone. Correct the sending program.", closes=True
)
BAD_OCTET = Reply(500, "5.5.2", "The command holds a character that no command may hold.")
NO_ARGUMENT = Reply(501, "5.5.4", "This command takes no argument.")
NEEDS_NAME = Reply(501, "5.5.4", "Say the name of this machine, as in EHLO printer.contoso.test.")
NEEDS_EHLO = Reply(503, "5.5.1", "Say EHLO first.")
NEEDS_MAIL = Reply(503, "5.5.1", "Say MAIL FROM first.")
NEEDS_RCPT = Reply(503, "5.5.1", "There is no recipient yet: say RCPT TO first.")
NESTED_MAIL = Reply(503, "5.5.1", "A message is begun already. End it, or say RSET.")
SENT_TOO_EARLY = Reply(
    554, "5.5.1", "Data came before they were asked for. Wait for each reply of the server.", closes=True
)
NO_MAIL_CLIENT = Reply(554, "5.5.1", "This is a mail server.", closes=True)
TOO_MANY_FAILURES = Reply(421, "4.7.0", "Too many errors. Look at the replies before this one.", closes=True)
TOO_MANY_IDLE = Reply(421, "4.7.0", "Too many commands without a message. Connect again.", closes=True)
TOO_SLOW = Reply(421, "4.4.2", "Nothing complete came for too long. Connect again.", closes=True)
TOO_LONG_AT_IT = Reply(421, "4.4.2", "This conversation took too long. Connect again.", closes=True)
STOPPING = Reply(421, "4.3.2", "The portal is stopping. Connect again in a few seconds.", closes=True)
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections at once. Close some, or try again later.", closes=True)
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients. Send to the others in another message.")
TLS_IS_ON = Reply(503, "5.5.1", "TLS is on already.")
TLS_NOT_OFFERED = Reply(502, "5.5.1", "TLS is not offered at this port.")
NEEDS_TLS = Reply(
    538,
    "5.7.11",
    "Signing in needs TLS: switch on STARTTLS. For a device that knows none, an administrator names its network "
    "on its server's page.",
)
SIGN_IN_UNKNOWN = Reply(504, "5.5.4", "This way of signing in is not offered.")
SIGN_IN_AGAIN = Reply(503, "5.5.1", "You are signed in already.")
SIGN_IN_NOT_NOW = Reply(503, "5.5.1", "Signing in is not possible within a message. Say RSET first.")
SIGN_IN_BROKEN_OFF = Reply(501, "5.7.0", "Signing in was broken off.")
SIGN_IN_UNREADABLE = Reply(501, "5.5.2", "What was sent to sign in cannot be read: Base64 is expected.")
SIGN_IN_WRONG = Reply(
    535,
    "5.7.8",
    "User name or password is wrong. An administrator finds the names, and makes passwords, on the server's page.",
)
SIGN_IN_WAIT = Reply(
    454,
    "4.7.0",
    "Too many wrong sign-ins from this address. Wait ten minutes and check user name and password.",
    closes=True,
)
CRAM_MD5_OFF = Reply(504, "5.7.4", "CRAM-MD5 is not offered.")
UNAVAILABLE = Reply(451, "4.3.0", "The portal's database does not answer. Send again in a few seconds.")
UNAVAILABLE_AT_ALL = Reply(
    421, "4.3.2", "The portal takes no mail at the moment. Try again in a few minutes.", closes=True
)
NO_ROOM = Reply(452, "4.3.1", "Too much mail arrives at once. Send this message again in a minute.")
CONTENT_BARE_LINE_END = Reply(
    550, "5.6.11", "The message has lines that do not end with CR LF. Correct the sending program."
)
CONTENT_NUL = Reply(550, "5.6.0", "The message holds a NUL octet. Send such content as an attachment in Base64.")


def needs_proof(address: str, *, can_sign_in: bool, needs_tls: bool) -> Reply:
    """To a client of whom nobody knows which server it is."""
    if not can_sign_in and needs_tls:
        text = f"Sign in first, after STARTTLS; or an administrator names the address {address} on a server's page."
        return Reply(530, "5.7.0", text)
    if not can_sign_in:
        text = f"No server's networks name the address {address}. An administrator adds it on a server's page."
        return Reply(550, "5.7.1", text)
    text = f"Sign in first; or an administrator names the address {address} on a server's page."
    return Reply(530, "5.7.0", text)


def too_large(largest: int) -> Reply:
    """Of a message; `largest` is in octets."""
    text = f"The message is too large: {largest} octets are taken. Make it smaller."
    return Reply(552, "5.3.4", text)


def after_sign_in_failed(client_failures: int, most: int) -> Reply:
    """The same sentence whatever was wrong."""
    return SIGN_IN_WRONG if client_failures < most else Reply(421, "4.7.0", SIGN_IN_WRONG.text, closes=True)
