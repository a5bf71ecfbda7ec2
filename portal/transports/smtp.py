"""The way out over SMTP: messages to one submission server, over one connection that is kept and reused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from portal.network.policy import MailPolicy
from portal.transports import OutgoingMessage, SendReport, Step, TransientError, TransportError
from portal.transports.smtp_conversation import Conversation
from portal.transports.smtp_opening import open_conversation
from portal.transports.smtp_settings import SMTPSettings
from portal.transports.smtp_tls import make_context
from portal.transports.smtp_transaction import Transaction
from portal.transports.smtp_wire import WireFault

MOST_MESSAGES = 250  # on one connection; a server that allows fewer says 421, and another one is opened
MOST_IDLE_SECONDS = 30.0
_MOST_SECONDS_OF_A_MESSAGE = 900.0
_UNSEEN_SECONDS = 1.0  # after a shorter pause nobody looks whether the server is still there
_MOST_OCTETS_AT_ONCE = 32 * 1024  # the system takes so much without waiting where nothing else is on its way out
_MOST_RECIPIENTS_AT_ONCE = 20


class _UnderWay(NamedTuple):
    message: OutgoingMessage
    transaction: Transaction | None  # None: it is to be said over a new connection
    may_proceed: Callable[[], bool]
    following: OutgoingMessage | None


class SMTPTransport:
    """A `Transport` that connects when the first message comes and again when the connection is spent or stale.

    `ca_bundle` is a PEM file that is trusted besides the system's CAs. `clock` tells how long the connection idled.
    """

    def __init__(
        self,
        settings: SMTPSettings,
        *,
        policy: MailPolicy,
        ca_bundle: Path | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._clock = clock
        # Reading the system's CAs takes longer than many messages: once for all connections.
        self._trust = cache(
            partial(
                make_context,
                verify_certificate=settings.verify_certificate,
                ca_certificate=settings.ca_certificate,
                ca_bundle=ca_bundle,
            )
        )
        self._conversation: Conversation | None = None
        self._used_at = 0.0
        self._messages = 0
        self._needs_reset = False
        self._announced: Transaction | None = None  # whose envelope the server has heard already
        self._announces = True  # until a server loses what is said behind a dot
        self._under_way: _UnderWay | None = None

    def send(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> SendReport:
        """As `Transport.send`. A message takes at most 15 minutes once the connection stands."""
        transaction = self._continued(message) or self._begun(message)
        if transaction is not None:
            self._enter(transaction)
        return self._finish(_UnderWay(message, transaction, may_proceed, following))

    def can_start(self, message: OutgoingMessage) -> bool:
        """As `NonBlockingTransport.can_start`: on a connection in steady use, by a server that has PIPELINING."""
        conversation = self._conversation
        if conversation is None or len(message.content) > _MOST_OCTETS_AT_ONCE:
            return False
        if self._announced is not None:
            return self._announced.message is message
        return (
            conversation.capabilities.pipelining
            and len(message.rcpt_to) <= _MOST_RECIPIENTS_AT_ONCE
            and self._messages < MOST_MESSAGES
            and not self._needs_reset
            and self._clock() - self._used_at <= MOST_IDLE_SECONDS
            and not (conversation.wire.holds(1) or conversation.wire.has_more)  # servers end what idles
        )

    def start(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> None:
        """As `NonBlockingTransport.start`."""
        transaction = self._continued(message)
        if transaction is None and self._conversation is not None:
            transaction = Transaction(self._conversation, message)
        if transaction is not None:
            self._enter(transaction)
        self._under_way = _UnderWay(message, transaction, may_proceed, following)

    def advance(self) -> SendReport | None:
        """As `NonBlockingTransport.advance`."""
        under_way, self._under_way = self._taken_up(), None
        transaction = under_way.transaction
        if transaction is not None:
            try:
                report = transaction.advance(under_way.may_proceed, self._following(under_way))
            except TransientError as error:
                self._leave(transaction)
                self._judge_stale(error, transaction)
                under_way = under_way._replace(transaction=None)
            except BaseException:
                self._leave(transaction)
                raise
            else:
                if report is not None:
                    self._leave(transaction)
                    return report
        self._under_way = under_way
        return None

    def finish(self) -> SendReport:
        """As `NonBlockingTransport.finish`."""
        under_way, self._under_way = self._taken_up(), None
        return self._finish(under_way)

    def fileno(self) -> int:
        """As `NonBlockingTransport.fileno`."""
        is_to_be_said_anew = self._under_way is not None and self._under_way.transaction is None
        if self._conversation is None or is_to_be_said_anew or self._conversation.wire.is_overfull:
            return -1
        return self._conversation.wire.socket.fileno()

    def close(self) -> None:
        """As `Transport.close`; waits a second at most for the server's farewell."""
        self._forsake_announced()
        conversation, self._conversation = self._conversation, None
        under_way, self._under_way = self._under_way, None
        if conversation is None:
            return
        if under_way is not None:
            conversation.drop()  # in the midst of a message a farewell may be taken for its content
        else:
            conversation.farewell()

    def _continued(self, message: OutgoingMessage) -> Transaction | None:
        """The message's transaction, if its envelope went ahead behind the last one's dot."""
        if self._announced is not None and self._announced.message is message:
            transaction, self._announced = self._announced, None
            return transaction
        self._forsake_announced()
        return None

    def _forsake_announced(self) -> None:
        """Another message comes than was announced: the server waits for content, and only an end of the
        connection surely gives it none."""
        if self._announced is not None and self._conversation is not None:
            self._conversation.drop()
            self._conversation = None
        self._announced = None

    def _begun(self, message: OutgoingMessage) -> Transaction | None:
        conversation = self._kept()
        return Transaction(conversation, message) if conversation is not None else None

    def _opened(self) -> Conversation:
        self.close()
        self._conversation = open_conversation(self._settings, policy=self._policy, trust=self._trust)
        self._messages, self._needs_reset = 0, False
        return self._conversation

    def _finish(self, under_way: _UnderWay) -> SendReport:
        """Over the connection that stands; over a new one where that proves to be gone."""
        transaction = under_way.transaction
        if transaction is not None:
            try:
                return self._run(transaction, under_way)
            except TransientError as error:
                self._judge_stale(error, transaction)
        transaction = Transaction(self._opened(), under_way.message)
        self._enter(transaction)
        return self._run(transaction, under_way)

    def _run(self, transaction: Transaction, under_way: _UnderWay) -> SendReport:
        try:
            return transaction.run(under_way.may_proceed, self._following(under_way))
        finally:
            self._leave(transaction)

    def _enter(self, transaction: Transaction) -> None:
        transaction.conversation.wire.deadline = monotonic() + _MOST_SECONDS_OF_A_MESSAGE
        self._messages += 1

    def _leave(self, transaction: Transaction) -> None:
        self._used_at = self._clock()
        self._needs_reset = transaction.needs_reset
        if transaction.can_go_on:
            self._announced = transaction.announced
        else:
            self._conversation = None
            transaction.conversation.drop()

    def _following(self, under_way: _UnderWay) -> OutgoingMessage | None:
        """The message whose envelope may go ahead, if there is room for it on this connection."""
        return under_way.following if self._announces and self._messages < MOST_MESSAGES else None

    def _judge_stale(self, error: TransientError, transaction: Transaction) -> None:
        """Raises the error, unless it proves that a new connection may be tried at once."""
        if not _proves_stale(error, was_announced=transaction.was_announced):
            raise error
        self._announces = self._announces and not (transaction.was_announced and error.reply is None)

    def _taken_up(self) -> _UnderWay:
        if self._under_way is None:
            raise RuntimeError("no message was started")
        return self._under_way

    def _kept(self) -> Conversation | None:
        """The connection from before, if it may be used again and the server is still there."""
        conversation = self._conversation
        if conversation is None:
            return None
        idle = self._clock() - self._used_at
        if self._messages >= MOST_MESSAGES or idle > MOST_IDLE_SECONDS:
            return None
        conversation.wire.deadline = monotonic() + _MOST_SECONDS_OF_A_MESSAGE
        is_quiet = not conversation.wire.has_more if idle < _UNSEEN_SECONDS else _is_still_there(conversation)
        if is_quiet and self._is_reset(conversation):
            return conversation
        self._conversation = None
        conversation.drop()
        return None

    def _is_reset(self, conversation: Conversation) -> bool:
        if not self._needs_reset:
            return True
        try:
            return conversation.ask(Step.SENDER, "RSET").code < 300
        except TransportError:
            return False


def _is_still_there(conversation: Conversation) -> bool:
    """Whether nothing was said or closed meanwhile: servers end idle connections with a 421, or with none."""
    try:
        return conversation.wire.early_reply(seconds=conversation.settings.timeout_seconds) is None
    except WireFault:
        return False


def _proves_stale(error: TransientError, *, was_announced: bool) -> bool:
    """Whether the server had gone before it knew of the message, so that a new connection may be tried at once.

    An envelope that went ahead may also have been lost behind the dot: it is said again whatever became of it.
    """
    if was_announced and error.reply is None and error.step in {Step.SENDER, Step.RECIPIENT, Step.DATA}:
        return True
    if error.step is not Step.SENDER:
        return False
    return error.reply.code == 421 if error.reply else error.code == "network.connection_lost"
