"""The conversation with one client, without sockets and clocks: octets in, replies out, and what it has to ask.

Where an answer needs more than this module knows (a password, a commit, TLS), `asks` says what, and nothing further
is read until the answer is given.
"""

from __future__ import annotations

from portal.relay import replies
from portal.relay.commands import CommandRefused, is_from_another_world, parse_command
from portal.relay.replies import Reply
from portal.relay.talk import Client, Talk
from portal.relay.verbs import go_on_signing_in, obey

_MOST_WRONG_PROOFS = 3  # of one connection


class Session(Talk):
    """What a connection drives."""

    is_held = False  # the client does not read its replies
    steps = 0  # lines and messages that were completed: what has no new ones is slow
    _is_stopping = False
    _wrong_proofs = 0

    def greet(self) -> None:
        """The first words, once the client is known."""
        self.output += f"220 {self.host} ESMTP ready\r\n".encode()

    @property
    def is_refusing_line_ends(self) -> bool:
        """Whether content arrives that will be refused, and whose sender may take another end for its end."""
        arriving = self.arriving if self.asks is None else None
        return arriving is not None and arriving.content.refusal is replies.CONTENT_BARE_LINE_END

    @property
    def is_receiving(self) -> bool:
        """Whether content arrives."""
        return self.arriving is not None and self.asks is None

    def receive(self, data: bytes) -> None:
        """Take what came."""
        arriving = self.arriving
        if arriving is None or self.asks is not None:
            self.lines.feed(data)
            self.work()
            return
        rest = arriving.content.feed(data)
        if rest is not None:
            self.steps += 1
            self.lines.feed(rest)
            self.asks = arriving
        elif arriving.content.is_hopeless:
            refusal = arriving.content.refusal or replies.NO_ROOM
            self.end(Reply(refusal.code, refusal.status, refusal.text, closes=True))

    def work(self) -> None:
        """Obey what can be obeyed."""
        while not (self.is_over or self.asks is not None or self.is_held or self.arriving is not None):
            self._stop_if_idle()
            try:
                line = None if self.is_over else self.lines.take()
                if line is None:
                    return
                self.steps += 1
                self._obey(line)
            except CommandRefused as refused:
                self.dialogue = None  # a line that is refused ends signing in (RFC 4954 section 4)
                self.say(refused.reply)

    def stop(self) -> None:
        """End it with 421 as soon as no message is under way."""
        self._is_stopping = True
        self._stop_if_idle()

    def end(self, reply: Reply) -> None:
        """End it now."""
        if not self.is_over:
            self.say(reply)
            self.is_over = True
        self.reset()

    def answer(self, reply: Reply) -> None:
        """What came of the submission."""
        self.asks = None
        self.reset()
        self.note_message()
        self.say(reply)
        self.work()

    def signed_in(self, client: Client | None, reply: Reply | None = None) -> None:
        """Who it is, or None where the proof was wrong; `reply` where it was not looked at."""
        self.asks = None
        if client is not None:
            self.client = client
            self.has_signed_in = True
            self.output += replies.SIGNED_IN
        else:
            self._wrong_proofs += 1
            self.say(reply or replies.after_sign_in_failed(self._wrong_proofs, _MOST_WRONG_PROOFS))
        self.work()

    def secured(self) -> None:
        """TLS is on: whatever was said before is forgotten (RFC 3207 section 4.2).

        Lines that came before were dropped with STARTTLS, and nothing was read since but what came by TLS.
        """
        self.asks = None
        self.is_secure = True
        self.greeted = ""
        self.reset()
        self.work()

    def _obey(self, line: bytes) -> None:
        if self.dialogue is not None:
            go_on_signing_in(self, self.dialogue, line)
            return
        if not self.greeted and is_from_another_world(line):
            raise CommandRefused(replies.NO_MAIL_CLIENT)
        obey(self, parse_command(line))

    def _stop_if_idle(self) -> None:
        if self._is_stopping and self.transaction is None and self.asks is None:
            self.end(replies.STOPPING)
