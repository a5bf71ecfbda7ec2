"""What is said and known in one conversation so far: the state that commands change, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from portal.relay import replies
from portal.relay.commands import CommandLines, CommandRefused, Sender
from portal.relay.content import Budget, IncomingContent
from portal.relay.limits import Limits
from portal.relay.replies import Reply
from portal.relay.sign_in import Dialogue, Proof
from portal.servers.callers import Caller


@dataclass(frozen=True, kw_only=True)
class Client:
    """What is known of a client. The figures are its server's, or the usual ones while it has none."""

    address: str
    caller: Caller | None = None
    is_legacy: bool = False  # may use old TLS, and sign in without
    allows_cram_md5: bool = False
    largest_message: int
    most_recipients: int


@dataclass(frozen=True)
class Submission:
    """A message with its envelope, and who hands it over. Its content may still be arriving."""

    caller: Caller
    mail_from: str
    rcpt_to: tuple[str, ...]
    needs_smtputf8: bool
    protocol: str  # as a Received line names it, RFC 3848
    content: IncomingContent = field(repr=False)


class StartTLS:
    """The client was told to begin with TLS."""


Ask = Proof | Submission | StartTLS


@dataclass
class Transaction:
    """From MAIL to the end of the content."""

    caller: Caller
    sender: Sender
    rcpt_to: dict[str, None] = field(default_factory=dict)  # each once, in their order
    surplus: int = 0


class Talk:
    """`scheme` is how the port is bound: starttls, tls or plain. `host` is the portal's name."""

    def __init__(self, client: Client, *, host: str, scheme: str, limits: Limits, budget: Budget) -> None:
        self.client = client
        self.host = host
        self.scheme = scheme
        self.limits = limits
        self.budget = budget
        self.lines = CommandLines()
        self.output = bytearray()
        self.asks: Ask | None = None
        self.arriving: Submission | None = None  # its content is what comes next
        self.transaction: Transaction | None = None
        self.dialogue: Dialogue | None = None
        self.greeted = ""  # EHLO or HELO
        self.is_secure = scheme == "tls"
        self.has_signed_in = False
        self.is_over = False
        self._failures = self._idle = 0

    @property
    def mechanisms(self) -> list[str]:
        """The ways of signing in that are offered now."""
        if not (self.is_secure or self.client.is_legacy):
            return []
        return ["PLAIN", "LOGIN", *(["CRAM-MD5"] if self.client.allows_cram_md5 else [])]

    @property
    def offers(self) -> list[str]:
        """What EHLO announces: all of it is honoured, and nothing else."""
        offers = ["ENHANCEDSTATUSCODES", "PIPELINING", "8BITMIME", "SMTPUTF8", f"SIZE {self.client.largest_message}"]
        if self.scheme == "starttls" and not self.is_secure:
            offers.append("STARTTLS")
        if self.mechanisms and not self.has_signed_in:
            offers.append("AUTH " + " ".join(self.mechanisms))
        return offers

    @property
    def protocol(self) -> str:
        """The conversation's name in a Received line (RFC 3848, RFC 6531)."""
        if self.greeted == "HELO":
            return "SMTP"
        name = "UTF8SMTP" if self.transaction and self.transaction.sender.needs_smtputf8 else "ESMTP"
        return name + "S" * self.is_secure + "A" * self.has_signed_in

    def say(self, reply: Reply) -> None:
        """Send a reply; too many failures end the conversation."""
        self.output += reply.encoded()
        self.is_over = self.is_over or reply.closes
        self._failures += reply.is_failure
        if self._failures >= self.limits.failures and not self.is_over:
            self.output += replies.TOO_MANY_FAILURES.encoded()
            self.is_over = True

    def note_idle(self) -> None:
        """A command that brings no message further. Raises CommandRefused where there were too many."""
        self._idle += 1
        if self._idle > self.limits.idle_commands:
            raise CommandRefused(replies.TOO_MANY_IDLE)

    def note_message(self) -> None:
        """A message was handed over."""
        self._idle = 0

    def reset(self) -> None:
        """Forget the message that is under way."""
        self.transaction = None
        if self.arriving is not None:
            self.arriving.content.give_back()
            self.arriving = None
