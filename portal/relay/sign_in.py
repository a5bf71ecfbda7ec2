"""Signing in (RFC 4954): PLAIN (RFC 4616), LOGIN and CRAM-MD5 (RFC 2195), step by step."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from portal.relay import replies
from portal.relay.commands import CommandRefused

_LONGEST = 255  # octets of a name or password, RFC 4616 section 2


@dataclass(frozen=True)
class Password:
    """A name and what was typed as its password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Digest:
    """A name and what its owner made of the challenge with the password."""

    username: str
    challenge: bytes
    digest: str = field(repr=False)

    def is_made_with(self, password: str) -> bool:
        """Whether this is the password."""
        expected = hmac.new(password.encode(), self.challenge, hashlib.md5).hexdigest()
        return hmac.compare_digest(expected.encode(), self.digest.encode())


Proof = Password | Digest


class Dialogue:
    """One AUTH command: `challenge` is what to ask next, until `proof` is there."""

    def __init__(self, mechanism: str, *, host: str) -> None:
        self.mechanism = mechanism
        self.proof: Proof | None = None
        self._username = ""
        self._asks_password = False
        self.challenge = b""
        if mechanism == "LOGIN":
            self.challenge = b"Username:"
        elif mechanism == "CRAM-MD5":
            self.challenge = f"<{secrets.randbits(64)}.{secrets.randbits(32)}@{host}>".encode()

    def skip_prompt(self) -> None:
        """The first answer came with AUTH. Raises CommandRefused where it cannot know the challenge."""
        if self.mechanism == "CRAM-MD5":
            raise CommandRefused(replies.SIGN_IN_UNREADABLE)

    def take(self, line: bytes) -> None:
        """One answer of the client, in Base64. Raises CommandRefused."""
        if line == b"*":
            raise CommandRefused(replies.SIGN_IN_BROKEN_OFF)
        answer = _decoded(line)
        if self.mechanism == "PLAIN":
            self._take_plain(answer)
        elif self.mechanism == "CRAM-MD5":
            username, _space, digest = answer.rpartition(" ")
            self.proof = Digest(username, self.challenge, digest.lower())
        elif self._asks_password:
            self.proof = Password(self._username, answer)
        else:
            self._username, self._asks_password = answer, True
            self.challenge = b"Password:"

    @property
    def prompt(self) -> bytes:
        """The reply that asks for the next answer."""
        return b"334 " + b64encode(self.challenge) + b"\r\n"

    def _take_plain(self, answer: str) -> None:
        parts = answer.split("\0")
        if len(parts) != 3 or parts[0] not in {"", parts[1]}:
            raise CommandRefused(replies.SIGN_IN_UNREADABLE)
        self.proof = Password(parts[1], parts[2])


def _decoded(line: bytes) -> str:
    if line == b"=":  # an empty answer, RFC 4954 section 4
        return ""
    try:
        answer = b64decode(line, validate=True).decode()
    except (binascii.Error, ValueError):
        raise CommandRefused(replies.SIGN_IN_UNREADABLE) from None
    if len(answer) > 3 * _LONGEST + 2:
        raise CommandRefused(replies.SIGN_IN_UNREADABLE)
    return answer
