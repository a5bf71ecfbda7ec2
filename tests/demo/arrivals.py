"""Tells of each message that a stand-in took, as the terminal of the demonstration shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from textwrap import indent
from types import TracebackType
from typing import Self

from tests.demo.stand_ins import Received

_LOOK_SECONDS = 0.2


class Arrivals:
    """From `with` to its end, `say` gets a text for each message that is added to one of `received`."""

    def __init__(self, received: Mapping[str, Sequence[Received]], *, say: Callable[[str], None]) -> None:
        self._received = received
        self._say = say
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        told = dict.fromkeys(self._received, 0)
        is_last = False
        while not is_last:
            is_last = self._stopped.wait(_LOOK_SECONDS)  # what came until then is told, too
            for who, messages in self._received.items():
                for message in messages[told[who] :]:
                    self._say(described(who, message.content))
                    told[who] += 1


def described(who: str, content: bytes) -> str:
    """Who took it, the headers that people look at, and the plain text."""
    message = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
    text = message.get_body(("plain",))
    headers = [f"{name}: {message[name]}" for name in ("From", "To", "Cc", "Subject") if message[name]]
    shown = text.get_content().rstrip() if text is not None else "(no plain text)"
    return f"--- {who} took a message\n" + indent("\n".join([*headers, "", shown]), "    ")
