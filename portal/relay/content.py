"""The content of a message as it arrives after DATA (RFC 5321 4.1.1.4): up to CR LF . CR LF and to nothing else.

What other servers take for an end as well (CVE-2023-51764) makes the whole message refused, so that nothing behind it
is ever read as a command.
"""

from __future__ import annotations

from collections.abc import Iterator

from portal.relay import replies
from portal.relay.replies import Reply

_START = b"\r\n"  # stands before the content, so that every line of it begins behind a line's end
_END = b"\r\n.\r\n"
_LOOKED_AT = 64 * 1024  # octets in one go
_DOTS = 4096  # octets over the largest size that may be dots alone; besides an eighth
_BEYOND = 64 * 1024 * 1024  # octets over the largest size that are read on before the connection is given up


class ContentRefused(Exception):
    """The message is refused; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.text))
        self.reply = reply


class Budget:
    """What the contents of all connections may take of the memory together; of one thread."""

    def __init__(self, octets: int) -> None:
        self._octets = self._left = octets

    @property
    def has_room(self) -> bool:
        return self._left > 0

    @property
    def is_scarce(self) -> bool:
        return self._left < self._octets // 2

    def take(self, octets: int) -> bool:
        if octets > self._left:
            return False
        self._left -= octets
        return True

    def give_back(self, octets: int) -> None:
        self._left += octets


class IncomingContent:
    """Octets that are fed until their end was among them."""

    def __init__(self, largest: int, budget: Budget) -> None:
        self.refusal: Reply | None = None
        self._largest = largest
        self._budget = budget
        self._taken = 0  # of the budget
        self._raw = bytearray(_START)
        self.size = 0  # octets that came, dots included

    @property
    def is_hopeless(self) -> bool:
        """Whether so much comes that reading on makes no sense."""
        return self.size > self._largest + _BEYOND

    def feed(self, data: bytes | bytearray) -> bytes | None:
        """Take octets. Returns what came behind the end, None while the end is still to come."""
        raw = self._raw
        searched = max(0, len(raw) - len(_END) + 1)
        raw += data
        end = raw.find(_END, searched)
        if end >= 0:
            rest = bytes(raw[end + len(_END) :])
            del raw[end + len(_START) :]
            self._look_at(searched, len(raw), data, rest)
            return rest
        self._look_at(searched, len(raw), data, b"")
        return None

    def give_back(self) -> None:
        """The content is not needed any more."""
        self._budget.give_back(self._taken)
        self._taken = 0
        self._raw = bytearray()

    def finished(self) -> bytes:
        """The whole content without its dots. Raises ContentRefused. May take its time: not for the event loop."""
        if self.refusal is not None:
            raise ContentRefused(self.refusal)
        if b"\0" in self._raw:  # line ends were looked at as they came, each piece with the end of the one before
            raise ContentRefused(replies.CONTENT_NUL)
        content = b"".join(self._unstuffed())
        if len(content) > self._largest:
            raise ContentRefused(replies.too_large(self._largest))
        return content

    def _unstuffed(self) -> Iterator[bytes]:
        """Whole lines without their dots, some at a time: the event loop goes on in between."""
        raw, place = self._raw, len(_START)
        while place < len(raw):
            end = raw.find(b"\r\n", place + _LOOKED_AT)
            end = end + len(b"\r\n") if end >= 0 else len(raw)
            behind_an_end = bytes(raw[place - len(_START) : end])
            yield behind_an_end.replace(b"\r\n.", b"\r\n")[len(_START) :]
            place = end

    def _look_at(self, start: int, stop: int, data: bytes | bytearray, rest: bytes) -> None:
        self.size += len(data) - len(rest)
        if self.refusal is None:
            self.refusal = self._refusal(start, stop, len(data) - len(rest))
        if self.refusal is not None:  # only the beginning of an end is worth keeping
            self._budget.give_back(self._taken)
            self._taken = 0
            del self._raw[: -len(_END) + 1]

    def _refusal(self, start: int, stop: int, octets: int) -> Reply | None:
        if _has_bare_line_end(self._raw, start, stop):
            return replies.CONTENT_BARE_LINE_END
        if len(self._raw) > self._largest + self._largest // 8 + _DOTS:
            return replies.too_large(self._largest)
        if not self._budget.take(octets):
            return replies.NO_ROOM
        self._taken += octets
        return None


def _has_bare_line_end(raw: bytes | bytearray, start: int, stop: int) -> bool:
    """Whether a CR or LF stands alone there. At the edges: what is before was looked at, what follows is unknown."""
    alone = raw[start:stop].removeprefix(b"\n").removesuffix(b"\r").replace(b"\r\n", b"")
    return b"\n" in alone or b"\r" in alone
