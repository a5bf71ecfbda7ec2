"""A submission server that stops at a step of a conversation until it is told to go on, and counts copies."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from tests.outside.smtp_server import ReceivedMessage, Script, SMTPServer
from tests.outside.smtp_session import Gone

_NO_END = 600.0  # seconds, or the server's end


@dataclass
class _Hold:
    step: str
    about: str
    is_taken: bool
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    reply: str | None = None  # None: as usual
    hangs_up: bool = False

    def wait(self) -> None:
        self.over.wait()
        if self.hangs_up:
            raise Gone


class HoldingServer(SMTPServer):
    """Commands and replies go one by one (no PIPELINING), so that each step can be stopped at."""

    def __init__(self, *, pipelining: bool = False) -> None:
        super().__init__(accounts={"relay": "geheim"}, pipelining=pipelining)
        self._holds: list[_Hold] = []

    def hold(self, step: str, *, about: str = "", is_taken: bool = True) -> None:
        """Stop once, when this step is next reached, before it is answered.

        At `BODY` nothing more is read, in the middle of the message, until the server ends. At `CONTENT` the
        message is complete, and `is_taken` says whether the server has it already or takes it with its answer.
        """
        self._holds.append(_Hold(step, about, is_taken))

    def wait_until_held(self, seconds: float = 30) -> None:
        assert self._holds[-1].reached.wait(seconds), "the step was not reached"

    def go_on(self, reply: str | None = None) -> None:
        """Answer at last: as usual, or with a refusal."""
        self._holds[-1].reply = reply
        self._holds[-1].over.set()

    def hang_up(self) -> None:
        """End the conversation without the answer."""
        self._holds[-1].hangs_up = True
        self._holds[-1].over.set()

    @property
    def copies(self) -> Counter[str]:
        """How often each message was taken, by its Message-ID."""
        return Counter(message_id_of(message) for message in list(self.messages))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for hold in self._holds:
            hold.hangs_up = True
            hold.over.set()
        super().__exit__(kind, error, traceback)

    def _script_for(self, verb: str, argument: str) -> Script | None:
        hold = self._reached(verb, argument, is_taken=False) if verb == "CONTENT" else self._reached(verb, argument)
        if hold is None:
            return super()._script_for(verb, argument)
        if verb == "BODY":
            return Script(verb=verb, delay=_NO_END)  # the client must be told to begin, and is not read any more
        hold.wait()
        return Script(verb=verb, reply=hold.reply) if hold.reply else super()._script_for(verb, argument)

    def _keep(self, message: ReceivedMessage) -> None:
        super()._keep(message)
        hold = self._reached("CONTENT", message.content.decode("utf-8", "replace"))
        if hold is not None:
            hold.wait()

    def _reached(self, step: str, argument: str, *, is_taken: bool = True) -> _Hold | None:
        with self._changed:
            for hold in self._holds:
                is_it = (hold.step, hold.is_taken) == (step, is_taken) and hold.about in argument
                if is_it and not hold.reached.is_set():
                    hold.reached.set()
                    return hold
        return None


def message_id_of(message: ReceivedMessage) -> str:
    found = re.search(rb"(?im)^Message-ID:\s*(<[^>\s]+>)", message.content)
    assert found, "the message has no Message-ID"
    return found[1].decode()
