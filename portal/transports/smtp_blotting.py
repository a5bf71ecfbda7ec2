"""Keeping the stored password, or the access token, out of what is shown: replies, transcripts and errors."""

from __future__ import annotations

import re
from base64 import b64encode

BLOT = "********"
_LONGEST_LINE = 300
_MOST_LINES = 200
_LONG_ENOUGH = 8  # for what is left of it inside other base64 to be found nowhere else
_SHORTEST_TOKEN = 32
_PART = 16
_STEP = 8
_LONG_WORD = re.compile(rf"\S{{{_PART},}}")


def secret_forms(sign_in_name: str, password: str) -> tuple[str, ...]:
    """Each spelling of the password or token that a server could echo: plain, in base64, and inside other base64.

    Passwords of one or two characters are left out: blotting them would show by the gaps where they stood.
    """
    if len(password) <= 2:
        return ()
    as_sent = (f"\0{sign_in_name}\0{password}", password)
    spellings = (*(b64encode(text.encode()).decode().rstrip("=") for text in as_sent), password)
    return (*spellings, *_inside_base64(password)) if len(password) >= _LONG_ENOUGH else spellings


def _inside_base64(secret: str) -> tuple[str, ...]:
    """What the base64 of every text around the secret shares: one spelling for each place in a group of three."""
    octets = secret.encode()
    spellings = []
    for before in range(3):
        encoded = b64encode(bytes(before) + octets).decode()
        is_whole = (before + len(octets)) % 3 == 0
        # The first characters also hold bits of what stands before, the last one of what comes after.
        spellings.append(encoded[(0, 2, 3)[before] : None if is_whole else len(encoded.rstrip("=")) - 1])
    return tuple(spellings)


def readable(raw: bytes, secrets: tuple[str, ...]) -> str:
    """A server's bytes as one line of text: undecodable bytes replaced, control characters spaces, secrets blotted.

    A part of a long secret is enough for its word to be blotted: servers cut and wrap what they echo.
    """
    text = raw.decode("utf-8", "replace")
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, BLOT)
        if len(secret) >= _SHORTEST_TOKEN:
            text = _without_parts_of(secret, text)
    return printable(text)


def _without_parts_of(secret: str, text: str) -> str:
    """Each word of which 23 characters in a row stand in the secret is blotted out, and many with 16."""

    def blotted(word: re.Match[str]) -> str:
        starts = range(0, len(word[0]) - _PART + 1, _STEP)
        return BLOT if any(word[0][start : start + _PART] in secret for start in starts) else word[0]

    return _LONG_WORD.sub(blotted, text)


def printable(text: str) -> str:
    """The text with a space for each control character, line separator and direction mark."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


class Transcript:
    """What was said, for people: the first 200 lines, 300 characters each, secrets blotted out."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._lines: list[str] = []
        self._room = _MOST_LINES

    def conceal(self, secrets: tuple[str, ...]) -> None:
        """Blot these out as well from now on."""
        self._secrets += secrets

    def client(self, line: str) -> None:
        self._add(f"C: {line}")

    def server(self, line: bytes) -> None:
        self._add(f"S: {readable(line, self._secrets)}")

    def take(self) -> tuple[str, ...]:
        """The lines added since the last call."""
        lines, self._lines = self._lines, []
        return tuple(lines)

    def _add(self, line: str) -> None:
        if self._room > 0:
            self._room -= 1
            self._lines.append(line[:_LONGEST_LINE] if self._room else "…")
