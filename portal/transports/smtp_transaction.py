"""One message on an open conversation: who was accepted, and whether the message may have been handed over.

Reply n belongs to command n, whether commands go one by one or together (PIPELINING, RFC 2920). The point of no
return is the first byte of the final dot: what fails before it was not sent, what is lost after it is uncertain.

The envelope of the message that follows may ride behind the final dot (RFC 2920 section 3.1), which saves its round
trip. Of its content nothing is out then: until its own dot it is not sent, whatever becomes of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from portal.transports import (
    Abandoned,
    OutgoingMessage,
    PermanentError,
    QuotaReached,
    RecipientResult,
    Reply,
    SendReport,
    Step,
    TransientError,
    TransportError,
    Verdict,
)
from portal.transports.smtp_conversation import Conversation, as_transport_error
from portal.transports.smtp_envelope import envelope_commands, stuffed_content
from portal.transports.smtp_wire import RawReply, WireFault

_LONGEST_WAIT_AFTER_DOT = 600.0  # RFC 5321 4.5.3.2.6
_ROUND = 100  # commands in one write: their replies must fit the buffers on the way back
_MOST_AHEAD = 20  # commands of an envelope that rides behind a dot
_PIECE = 64 * 1024
_LAST_WORD_SECONDS = 1.0
_DOT = b".\r\n"


class Transaction:
    """Used once, by `run`, or by `advance` as far as that goes and then by `run`.

    Afterwards `can_go_on` says whether the conversation may carry another message.
    """

    def __init__(self, conversation: Conversation, message: OutgoingMessage) -> None:
        self.can_go_on = True
        self.needs_reset = False  # RSET must come before the next message
        self.message = message
        self.was_announced = False  # whether the server heard its envelope behind the last message's dot
        self.announced: Transaction | None = None  # of the message that follows: its envelope is out, and waits
        self.is_handed_over = False  # the dot is out, its answer not read
        self.conversation = conversation
        self._wire = conversation.wire
        self._seconds = conversation.settings.timeout_seconds
        self._round = _ROUND if conversation.capabilities.pipelining else 1
        self._commands: list[bytes] = []
        self._has_begun = False
        self._ahead: Transaction | None = None  # whose envelope rides behind the dot
        self._content: bytes | None = None  # stuffed already
        self._sent = 0  # commands
        self._answered = 0  # commands, too
        self._refused: dict[int, RawReply] = {}  # by the recipient's place in `rcpt_to`

    def run(self, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None) -> SendReport:
        """As `Transport.send`. Raises TransportError or Abandoned."""
        report = None if self.is_handed_over else self._hand_over(may_proceed, following)
        return self._answer_to_dot() if report is None else report

    def advance(self, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None) -> SendReport | None:
        """As `run` as far as it takes no waiting: None when it is the server's turn. For servers with PIPELINING."""
        if self.is_handed_over:
            return self._answer_to_dot() if self._wire.holds(1) else None
        self._begin()
        if not self._sent:
            self._say_next(Step.SENDER)
        elif self._wire.holds(len(self._commands) - self._answered):
            return self._hand_over(may_proceed, following)
        return None

    def _begin(self) -> None:
        """What this server cannot take is refused before a word is said."""
        if self._has_begun:
            return
        if not self.was_announced:
            self._commands = envelope_commands(self.message, self.conversation.capabilities)
        self.can_go_on = not self.was_announced  # the server may wait for content already
        if self._content is None:
            self._content = stuffed_content(self.message.content)
        self.can_go_on = False
        self._has_begun = True

    def _hand_over(self, may_proceed: Callable[[], bool], following: OutgoingMessage | None) -> SendReport | None:
        """Everything up to the final dot, that too: None when it is out."""
        self._begin()
        raw = self._next_reply(Step.SENDER)
        if raw.code >= 300:
            return self._refuse_all(Step.SENDER, raw)
        for place in range(len(self.message.rcpt_to)):
            raw = self._next_reply(Step.RECIPIENT)
            if raw.code == 421:
                return self._refuse_all(Step.RECIPIENT, raw)
            if raw.code >= 300:
                self._refused[place] = raw
        if len(self._refused) == len(self.message.rcpt_to):
            return self._without_recipients()
        raw = self._next_reply(Step.DATA)
        if raw.code != 354:
            return self._refuse_all(Step.DATA, raw)
        return self._send_content(may_proceed, following)

    def _announce(self, following: OutgoingMessage | None) -> Transaction | None:
        """The following message's transaction, if its envelope may ride behind this message's dot.

        Only for the same sender: what a server holds against this message it would hold against that one too.
        """
        if following is None or self._round == 1 or following.mail_from != self.message.mail_from:
            return None
        ahead = Transaction(self.conversation, following)
        try:
            commands = envelope_commands(following, self.conversation.capabilities)
        except TransportError:
            return None  # it will be told in its own turn
        if len(commands) > _MOST_AHEAD:
            return None
        ahead._commands, ahead._sent, ahead.was_announced = commands, len(commands), True
        return ahead

    def _stuff(self) -> None:
        """Prepare the content while the server is busy with the message before, whose fate it must not touch."""
        if len(self.message.content) <= _PIECE:  # two large ones are not held at once
            with suppress(Exception):  # it is told in its own turn
                self._content = stuffed_content(self.message.content)

    def _next_reply(self, step: Step) -> RawReply:
        """The reply to the next command, which is sent before if it was not yet."""
        if self._answered == self._sent:
            self._say_next(step)
        try:
            raw = self._wire.read_reply(seconds=self._seconds)
        except WireFault as fault:
            raise as_transport_error(step, fault) from fault
        self._answered += 1
        return raw

    def _say_next(self, step: Step) -> None:
        """The commands that may go together."""
        commands = self._commands[self._sent : self._sent + self._round]
        try:
            self._wire.send(b"".join(commands), seconds=self._seconds)
        except WireFault as fault:
            raise as_transport_error(step, fault) from fault
        self._sent += len(commands)

    def _send_content(self, may_proceed: Callable[[], bool], following: OutgoingMessage | None) -> SendReport | None:
        content, self._content = self._content or b"", None
        is_large = len(content) > _PIECE
        early = self._stream(content) if is_large else self._unasked()
        if early is not None:
            return self._refuse_all(Step.CONTENT, early, is_out_of_turn=True)
        ahead = self._announce(following)
        if not may_proceed():
            raise Abandoned
        lost = self._send_dot(b"" if is_large else content, ahead)
        if lost is not None:
            return lost
        self.is_handed_over, self._ahead = True, ahead
        if ahead is not None:
            ahead._stuff()
        return None

    def _send_dot(self, before: bytes, ahead: Transaction | None) -> SendReport | None:
        """The point of no return. A report where that failed, None where the dot is out."""
        try:
            self._wire.send(before + _DOT + (b"".join(ahead._commands) if ahead else b""), seconds=self._seconds)
        except WireFault as fault:
            if raw := self._last_word():
                return self._refuse_all(Step.CONTENT, raw, is_out_of_turn=True)
            if fault.taken is not None and fault.taken <= len(before):
                raise as_transport_error(Step.CONTENT, fault) from fault  # no byte of the dot left
            return self._lost(fault.seen)
        return None

    def _answer_to_dot(self) -> SendReport:
        try:
            raw = self._wire.read_reply(seconds=min(_LONGEST_WAIT_AFTER_DOT, 10 * self._seconds))
        except WireFault as fault:
            return self._lost(fault.seen)
        self.announced = self._ahead
        if raw.code >= 400:
            return self._refuse_all(Step.CONTENT, raw)
        if raw.code >= 300:
            return self._lost(f"the message was answered with {raw.code}")
        self.can_go_on = True
        return self._report(Verdict.SENT, self.conversation.readable(raw))

    def _unasked(self) -> RawReply | None:
        """What came behind the 354: it must not be taken for the answer to the final dot."""
        try:
            return self._wire.read_reply(seconds=self._seconds) if self._wire.has_more else None
        except WireFault as fault:
            raise as_transport_error(Step.CONTENT, fault) from fault

    def _stream(self, content: bytes) -> RawReply | None:
        """Send a large content piece by piece; a refusal that comes before its end, else None."""
        for start in range(0, len(content), _PIECE):
            try:
                self._wire.send(content[start : start + _PIECE], seconds=self._seconds)
                raw = self._wire.early_reply(seconds=self._seconds)
            except WireFault as fault:
                raw = self._last_word()
                if raw is None:
                    raise as_transport_error(Step.CONTENT, fault) from fault
            if raw is not None:
                return raw
        return None

    def _last_word(self) -> RawReply | None:
        """A refusal that a server sent before it closed the connection."""
        try:
            raw = self._wire.read_reply(seconds=_LAST_WORD_SECONDS)
        except WireFault:
            return None
        return raw if raw.code >= 400 else None

    def _refuse_all(self, step: Step, raw: RawReply, *, is_out_of_turn: bool = False) -> SendReport:
        """Nothing was handed over, for anybody: an error, or from DATA on each recipient's own result."""
        if not is_out_of_turn:
            self._settle(raw)
        error = self.conversation.refusal(step, raw, sender=self.message.mail_from)
        is_of_message = isinstance(error, TransientError | PermanentError) and raw.code >= 400
        if not is_of_message or step in {Step.SENDER, Step.RECIPIENT}:
            raise error
        return self._report(_verdict(error), self.conversation.readable(raw), error.code)

    def _without_recipients(self) -> SendReport:
        """Each refused for itself, unless one reply names the sender or the way out: then that is the error."""
        refusals = list(self._refused.values())
        self._settle(refusals[-1])
        for error in map(self._recipient_error, refusals):
            if not isinstance(error, TransientError | PermanentError):
                raise error
        return SendReport(tuple(map(self._refused_result, self.message.rcpt_to, refusals)))

    def _settle(self, raw: RawReply) -> None:
        """Read what is still to come, so that the next message's replies are its own."""
        try:
            while raw.code != 421 and self._answered < self._sent:
                raw = self._next_reply(Step.DATA)
        except TransportError:
            return
        # A 354 here waits for a message without recipients: only an end of the connection surely sends none.
        self.can_go_on = raw.code >= 400 and raw.code != 421
        self.needs_reset = self.announced is None  # after a dot there is nothing left to reset (RFC 5321 4.1.1.4)

    def _lost(self, seen: str) -> SendReport:
        return self._report(Verdict.UNCERTAIN, Reply(0, seen), "smtp.reply_lost")

    def _report(self, verdict: Verdict, reply: Reply, code: str = "") -> SendReport:
        """The same for each recipient that was accepted, and its own reply for each that was refused."""
        refused = self._refused
        if not refused:
            return SendReport(tuple([RecipientResult(one, verdict, reply, code) for one in self.message.rcpt_to]))
        return SendReport(
            tuple(
                self._refused_result(address, refused[place])
                if place in refused
                else RecipientResult(address, verdict, reply, code)
                for place, address in enumerate(self.message.rcpt_to)
            )
        )

    def _refused_result(self, address: str, raw: RawReply) -> RecipientResult:
        error = self._recipient_error(raw)
        return RecipientResult(address, _verdict(error), self.conversation.readable(raw), error.code)

    def _recipient_error(self, raw: RawReply) -> TransportError:
        return self.conversation.refusal(Step.RECIPIENT, raw, sender=self.message.mail_from)


def _verdict(error: TransportError) -> Verdict:
    return Verdict.DEFERRED if isinstance(error, TransientError | QuotaReached) else Verdict.FAILED
