"""One message on an open conversation: who was accepted, and whether the message may have been handed over.

Reply n belongs to command n, whether commands go one by one or together (PIPELINING, RFC 2920). The point of no
return is the first byte of the final dot: what fails before it was not sent, what is lost after it is uncertain.
"""

from __future__ import annotations

from collections.abc import Callable

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
_PIECE = 64 * 1024
_LAST_WORD_SECONDS = 1.0
_DOT = b".\r\n"


class Transaction:
    """Used once, by `run`. Afterwards `can_go_on` says whether the conversation may carry another message."""

    def __init__(self, conversation: Conversation, message: OutgoingMessage) -> None:
        self.can_go_on = True
        self.needs_reset = False  # RSET must come before the next message
        self._conversation = conversation
        self._wire = conversation.wire
        self._message = message
        self._seconds = conversation.settings.timeout_seconds
        self._round = _ROUND if conversation.capabilities.pipelining else 1
        self._commands: list[bytes] = []
        self._sent = 0  # commands
        self._answered = 0  # commands, too
        self._refused: dict[int, RawReply] = {}  # by the recipient's place in `rcpt_to`

    def run(self, may_proceed: Callable[[], bool]) -> SendReport:
        """As `Transport.send`. Raises TransportError or Abandoned."""
        # What this server cannot take is refused before a word is said.
        self._commands = envelope_commands(self._message, self._conversation.capabilities)
        content = stuffed_content(self._message.content)
        self.can_go_on = False
        raw = self._next_reply(Step.SENDER)
        if raw.code >= 300:
            return self._refuse_all(Step.SENDER, raw)
        for place in range(len(self._message.rcpt_to)):
            raw = self._next_reply(Step.RECIPIENT)
            if raw.code == 421:
                return self._refuse_all(Step.RECIPIENT, raw)
            if raw.code >= 300:
                self._refused[place] = raw
        if len(self._refused) == len(self._message.rcpt_to):
            return self._without_recipients()
        raw = self._next_reply(Step.DATA)
        return self._hand_over(content, may_proceed) if raw.code == 354 else self._refuse_all(Step.DATA, raw)

    def _next_reply(self, step: Step) -> RawReply:
        """The reply to the next command, which is sent before if it was not yet."""
        try:
            if self._answered == self._sent:
                commands = self._commands[self._sent : self._sent + self._round]
                self._wire.send(b"".join(commands), seconds=self._seconds)
                self._sent += len(commands)
            raw = self._wire.read_reply(seconds=self._seconds)
        except WireFault as fault:
            raise as_transport_error(step, fault) from fault
        self._answered += 1
        return raw

    def _hand_over(self, content: bytes, may_proceed: Callable[[], bool]) -> SendReport:
        is_large = len(content) > _PIECE
        early = self._stream(content) if is_large else self._unasked()
        if early is not None:
            return self._refuse_all(Step.CONTENT, early, is_out_of_turn=True)
        if not may_proceed():
            raise Abandoned
        try:
            self._wire.send(_DOT if is_large else content + _DOT, seconds=self._seconds)
        except WireFault as fault:
            raw = self._last_word()
            return self._refuse_all(Step.CONTENT, raw, is_out_of_turn=True) if raw else self._lost(fault.seen)
        try:
            raw = self._wire.read_reply(seconds=min(_LONGEST_WAIT_AFTER_DOT, 10 * self._seconds))
        except WireFault as fault:
            return self._lost(fault.seen)
        if raw.code >= 400:
            return self._refuse_all(Step.CONTENT, raw)
        if raw.code >= 300:
            return self._lost(f"the message was answered with {raw.code}")
        self.can_go_on = True
        return self._report(Verdict.SENT, self._conversation.readable(raw))

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
        error = self._conversation.refusal(step, raw, sender=self._message.mail_from)
        is_of_message = isinstance(error, TransientError | PermanentError) and raw.code >= 400
        if not is_of_message or step in {Step.SENDER, Step.RECIPIENT}:
            raise error
        return self._report(_verdict(error), self._conversation.readable(raw), error.code)

    def _without_recipients(self) -> SendReport:
        """Each refused for itself, unless one reply names the sender or the way out: then that is the error."""
        refusals = list(self._refused.values())
        self._settle(refusals[-1])
        for error in map(self._recipient_error, refusals):
            if not isinstance(error, TransientError | PermanentError):
                raise error
        return SendReport(tuple(map(self._refused_result, self._message.rcpt_to, refusals)))

    def _settle(self, raw: RawReply) -> None:
        """Read what is still to come, so that the next message's replies are its own."""
        try:
            while raw.code != 421 and self._answered < self._sent:
                raw = self._next_reply(Step.DATA)
        except TransportError:
            return
        # A 354 here waits for a message without recipients: only an end of the connection surely sends none.
        self.can_go_on = raw.code >= 400 and raw.code != 421
        self.needs_reset = True

    def _lost(self, seen: str) -> SendReport:
        return self._report(Verdict.UNCERTAIN, Reply(0, seen), "smtp.reply_lost")

    def _report(self, verdict: Verdict, reply: Reply, code: str = "") -> SendReport:
        """The same for each recipient that was accepted, and its own reply for each that was refused."""
        refused = self._refused
        return SendReport(
            tuple(
                self._refused_result(address, refused[place])
                if place in refused
                else RecipientResult(address, verdict, reply, code)
                for place, address in enumerate(self._message.rcpt_to)
            )
        )

    def _refused_result(self, address: str, raw: RawReply) -> RecipientResult:
        error = self._recipient_error(raw)
        return RecipientResult(address, _verdict(error), self._conversation.readable(raw), error.code)

    def _recipient_error(self, raw: RawReply) -> TransportError:
        return self._conversation.refusal(Step.RECIPIENT, raw, sender=self._message.mail_from)


def _verdict(error: TransportError) -> Verdict:
    return Verdict.DEFERRED if isinstance(error, TransientError | QuotaReached) else Verdict.FAILED
