"""The way out over SMTP: messages to one submission server, over one connection that is kept and reused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from time import monotonic

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

    def send(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> SendReport:
        """As `Transport.send`. A message takes at most 15 minutes once the connection stands."""
        transaction = self._continued(message) or self._begun(message)
        if transaction is not None:
            try:
                return self._run(transaction, may_proceed, following)
            except TransientError as error:
                if not _proves_stale(error, was_announced=transaction.was_announced):
                    raise
                self._announces = self._announces and not (transaction.was_announced and error.reply is None)
        return self._run(Transaction(self._opened(), message), may_proceed, following)

    def close(self) -> None:
        """As `Transport.close`; waits a second at most for the server's farewell."""
        self._forsake_announced()
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
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

    def _run(
        self, transaction: Transaction, may_proceed: Callable[[], bool], following: OutgoingMessage | None
    ) -> SendReport:
        conversation = transaction.conversation
        conversation.wire.deadline = monotonic() + _MOST_SECONDS_OF_A_MESSAGE
        self._messages += 1
        try:
            has_room = self._announces and self._messages < MOST_MESSAGES
            return transaction.run(may_proceed, following if has_room else None)
        finally:
            self._used_at = self._clock()
            self._needs_reset = transaction.needs_reset
            if transaction.can_go_on:
                self._announced = transaction.announced
            else:
                self._conversation = None
                conversation.drop()

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
