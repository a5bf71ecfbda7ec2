"""Lines and replies over one socket, with a deadline and a byte and line budget around every wait.

A timeout for each read is no bound: one byte now and then, or a reply without an end, would hold a thread or
fill the memory. Here a reply has a time, a number of lines and a number of bytes, and the conversation an end.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from time import monotonic

from portal.transports.smtp_blotting import Transcript, readable
from portal.transports.smtp_waits import waits_on

MOST_REPLY_BYTES = 64 * 1024
MOST_REPLY_LINES = 512
LONGEST_LINE = 8 * 1024
_CHUNK = 8 * 1024
_TLS_RECORD_STARTS = (b"\x15\x03", b"\x16\x03")  # alert, handshake (RFC 8446 5.1)
# Of a reply line (RFC 5321 4.2): its code, and whether it is the last one.
_LINE_STARTS = {
    b"%d%b" % (code, separator): (code, separator != b"-")
    for code in range(200, 600)
    for separator in (b" ", b"-", b"")
}


class WireFault(Exception):
    """The conversation cannot go on. `code` is the diagnosis' stable name, `seen` what was observed.

    `taken` is how many bytes of a failed write may have left: None where that is not known (TLS).
    """

    def __init__(self, code: str, seen: str, *, taken: int | None = None) -> None:
        super().__init__(seen)
        self.code = code
        self.seen = seen
        self.taken = taken


class RawReply:
    """A complete reply (RFC 5321 4.2): its code and the text of each line, undecoded."""

    __slots__ = ("code", "lines")

    def __init__(self, code: int, lines: list[bytes]) -> None:
        self.code = code
        self.lines = lines


class Wire:
    """One connected socket. `deadline` (of `time.monotonic()`) ends every wait, whatever its own time is."""

    def __init__(
        self,
        connected: socket.socket,
        *,
        deadline: float,
        secrets: tuple[str, ...] = (),
        transcript: Transcript | None = None,
    ) -> None:
        self.socket = connected
        self._waits = waits_on(connected)
        self.deadline = deadline
        self._secrets = secrets
        self._transcript = transcript
        self._buffer = b""
        self._has_heard = False  # whether the server ever said anything
        self._end: WireFault | None = None  # of the stream, met by `holds` before anybody read up to it

    def send(self, octets: bytes, *, seconds: float, shown: str | None = None) -> None:
        """Write all of it. `shown` is the line for the transcript. Raises WireFault."""
        if self._transcript is not None and shown is not None:
            self._transcript.client(shown)
        taken = 0
        try:
            while taken < len(octets):
                taken += self._waits.send(octets[taken:] if taken else octets, self.time_left(seconds))
        except TimeoutError:
            seen = f"the server took nothing for {seconds:.0f} s"
            raise WireFault("network.too_slow", seen, taken=self._surely(taken)) from None
        except (OSError, ValueError) as error:
            raise _lost(error, taken=self._surely(taken)) from error

    def read_reply(self, *, seconds: float, most_lines: int = MOST_REPLY_LINES) -> RawReply:
        """The next reply. `seconds` is the time for all of it. Raises WireFault, also when it is none."""
        code, octets, asked_at = 0, 0, 0.0
        texts: list[bytes] = []
        while True:
            buffer = self._buffer
            line_end = buffer.find(b"\n")
            if line_end < 0:
                asked_at = asked_at or monotonic()
                self._receive(asked_at, seconds, is_started=bool(texts))
                continue
            if line_end > LONGEST_LINE:
                raise _too_long()
            self._buffer = buffer[line_end + 1 :]
            octets += line_end
            line_code, is_last, text = self._parse(buffer[:line_end].removesuffix(b"\r"))
            if texts and line_code != code:
                raise WireFault("smtp.malformed_reply", f"one reply with two codes, {code} and {line_code}")
            code = line_code
            texts.append(text)
            if is_last:
                return RawReply(code, texts)
            if len(texts) >= most_lines or octets > MOST_REPLY_BYTES:
                raise WireFault("smtp.endless_reply", f"a reply of more than {len(texts)} lines")

    @property
    def is_overfull(self) -> bool:
        """Whether more came unread than any replies have: whoever reads them will refuse them."""
        return len(self._buffer) > MOST_REPLY_BYTES

    @property
    def has_more(self) -> bool:
        """Whether something was received that nobody asked for yet."""
        return bool(self._buffer)

    def holds(self, replies: int) -> bool:
        """Whether so many replies are here, and no half of another, or nothing more will come.

        Then reading them takes no waiting.
        """
        while not _are_whole(self._buffer, replies):
            if self._end is not None:
                return True
            if self.is_overfull:
                return False
            try:
                chunk = self._waits.receive_now(_CHUNK)
            except (OSError, ValueError) as error:
                self._end = _lost(error)
                self._end.__cause__ = error
                return True
            if chunk is None:
                return False
            if chunk:
                self._has_heard = True
                self._buffer += chunk
            else:
                self._end = _ended()
        return True

    def early_reply(self, *, seconds: float) -> RawReply | None:
        """A reply that came unasked: None when nothing is there. Raises WireFault, also at the end of the stream."""
        if not self._buffer:
            if self._end is not None:
                raise self._end
            try:
                chunk = self._waits.receive_now(_CHUNK)
            except (OSError, ValueError) as error:
                raise _lost(error) from error
            if chunk is None:
                return None
            if not chunk:
                raise _ended()
            self._buffer = chunk
        return self.read_reply(seconds=seconds)

    def upgrade(self, encrypted: socket.socket) -> None:
        """Go on over TLS. Whatever came in clear text is dropped (RFC 3207 section 6): it may be injected."""
        self.socket = encrypted
        self._waits = waits_on(encrypted)
        self._buffer = b""

    def time_left(self, seconds: float) -> float:
        """The smaller of `seconds` and what the deadline leaves. Raises WireFault when that is nothing."""
        left = min(seconds, self.deadline - monotonic())
        if left <= 0:
            raise WireFault("network.too_slow", "the time for the whole conversation is used up")
        return left

    def close(self) -> None:
        """Close without a word; never raises."""
        with suppress(OSError):
            self.socket.close()

    def _receive(self, asked_at: float, seconds: float, *, is_started: bool) -> None:
        buffer = self._buffer
        if len(buffer) > LONGEST_LINE:
            raise _too_long()
        if buffer and not buffer[:3].isdigit():
            raise self._no_reply(buffer)
        if self._end is not None:
            raise self._end
        try:
            left = min(asked_at + seconds, self.deadline) - monotonic()
            if left <= 0:
                raise TimeoutError
            chunk = self._waits.receive(_CHUNK, left)
        except TimeoutError:
            raise self._timed_out(monotonic() - asked_at, is_started=is_started or bool(buffer)) from None
        except (OSError, ValueError) as error:
            raise _lost(error) from error
        if not chunk:
            raise _ended()
        self._has_heard = True
        self._buffer = buffer + chunk if buffer else chunk

    def _surely(self, taken: int) -> int | None:
        # A TLS socket counts a write only when all its records went out; some of them may have.
        return None if isinstance(self.socket, ssl.SSLSocket) else taken

    def _timed_out(self, waited: float, *, is_started: bool) -> WireFault:
        if is_started:
            return WireFault("network.too_slow", f"the reply was not complete after {waited:.1f} s")
        code = "network.too_slow" if self._has_heard else "network.silence"
        return WireFault(code, f"no answer within {waited:.1f} s")

    def _parse(self, line: bytes) -> tuple[int, bool, bytes]:
        """The code of a reply line, whether it is the last one, and its text (RFC 5321 4.2.1)."""
        start = _LINE_STARTS.get(line[:4])
        if start is None:
            raise self._no_reply(line)
        if self._transcript is not None:
            self._transcript.server(line)
        return *start, line[4:]

    def _no_reply(self, line: bytes) -> WireFault:
        if line.startswith(_TLS_RECORD_STARTS):
            return WireFault("tls.expected_tls", "the server speaks TLS from the first byte")
        return WireFault("smtp.malformed_reply", f"no SMTP reply: {readable(line[:80], self._secrets)}")


def _are_whole(octets: bytes, replies: int) -> bool:
    """Whether these are at least so many replies, the last one whole; what is no reply is told when it is read."""
    *lines, rest = octets.split(b"\n")
    ends = [line[3:4] != b"-" for line in lines]
    return not rest and sum(ends) >= replies and ends[-1:] == [True]


def _lost(error: Exception, *, taken: int | None = None) -> WireFault:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return WireFault("network.connection_lost", f"the connection was lost: {reason}", taken=taken)


def _ended() -> WireFault:
    return WireFault("network.connection_lost", "the server closed the connection")


def _too_long() -> WireFault:
    return WireFault("smtp.line_too_long", f"a line of more than {LONGEST_LINE} bytes without an end")
