"""Keeping the stored password out of what is shown: replies, transcripts and errors."""

from __future__ import annotations

from base64 import b64encode

BLOT = "********"
_LONGEST_LINE = 300
_MOST_LINES = 200


def secret_forms(sign_in_name: str, password: str) -> tuple[str, ...]:
    """Each spelling of the password that a server could echo: plain, and in base64 as PLAIN and LOGIN send it.

    Passwords of one or two characters are left out: blotting them would show by the gaps where they stood.
    """
    if len(password) <= 2:
        return ()
    as_sent = (f"\0{sign_in_name}\0{password}", password)
    return (*(b64encode(text.encode()).decode().rstrip("=") for text in as_sent), password)


def readable(raw: bytes, secrets: tuple[str, ...]) -> str:
    """A server's bytes as one line of text: undecodable bytes replaced, control characters spaces, secrets blotted."""
    text = raw.decode("utf-8", "replace")
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, BLOT)
    return printable(text)


def printable(text: str) -> str:
    """The text with a space for each control character, line separator and direction mark."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


class Transcript:
    """What was said, for people: the first 200 lines, 300 characters each, secrets blotted out."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets
        self._lines: list[str] = []
        self._room = _MOST_LINES

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
