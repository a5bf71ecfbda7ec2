"""From a server's name to a conversation that mail may be sent in (RFC 5321 3.1, RFC 3207, RFC 4954).

Fails closed: nothing is said before a 220 greeting, nothing is sent without the TLS that was asked for, and no
password in clear text unless the administrator chose `none`; an access token never, nor where the certificate is not
checked.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic

from portal.network.addresses import AddressRefused, HostRefused, NameNotFound, PortRefused, VettedAddress, resolve
from portal.network.host_names import normalise_host
from portal.network.policy import MailPolicy
from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.transports.smtp_blotting import Transcript, secret_forms
from portal.transports.smtp_capabilities import Capabilities, read_capabilities
from portal.transports.smtp_connect import connect
from portal.transports.smtp_conversation import Conversation, as_transport_error
from portal.transports.smtp_safe_sign_in import refuse_unsafe_token
from portal.transports.smtp_settings import IMPLICIT_TLS_PORTS, Auth, Security, SMTPSettings
from portal.transports.smtp_sign_in import TOKEN_REFUSED, sign_in, with_token
from portal.transports.smtp_tls import encrypt
from portal.transports.smtp_wire import Wire, WireFault

_MOST_EHLO_LINES = 128
_EHLO_UNKNOWN = frozenset({500, 502, 504})


class Opening:
    """The steps of one opening. Each raises TransportError; `close` then ends what was begun.

    `deadline` (of `time.monotonic()`) bounds all of them together, but moves on while an access token is fetched.
    `trust` gives the TLS context when it is needed.
    """

    def __init__(
        self,
        settings: SMTPSettings,
        *,
        policy: MailPolicy,
        trust: Callable[[], ssl.SSLContext],
        deadline: float,
        transcript: Transcript | None = None,
    ) -> None:
        self.settings = settings
        self.addresses: tuple[VettedAddress, ...] = ()
        self.address: VettedAddress | None = None
        self.deadline = deadline
        self._policy = policy
        self._trust = trust
        self._transcript = transcript
        self._conversation: Conversation | None = None

    @property
    def steps(self) -> tuple[tuple[Step, Callable[[], None]], ...]:
        """The steps in their order: TLS comes after the greeting where STARTTLS begins it."""
        tls, greeting = (Step.TLS, self.start_encryption), (Step.GREETING, self.read_greeting)
        greets_first = not self.settings.is_implicit_tls and self.settings.security is not Security.NONE
        return (
            *(((Step.TOKEN, self.fetch_token),) if self.settings.asks_for_token else ()),
            (Step.RESOLVE, self.find_addresses),
            (Step.CONNECT, self.connect),
            *((greeting, tls) if greets_first else (tls, greeting)),
            (Step.CAPABILITIES, self.ask_capabilities),
            (Step.AUTHENTICATE, self.sign_in),
        )

    @property
    def conversation(self) -> Conversation:
        """What `connect` began."""
        if self._conversation is None:
            raise RuntimeError("nothing is connected yet")
        return self._conversation

    def close(self) -> None:
        """Drop what was begun; never raises."""
        if self._conversation is not None:
            self._conversation.drop()

    def fetch_token(self, *, renew: bool = False) -> None:
        """What the sign-in is made with, where that is no stored password."""
        started = monotonic()
        self.settings = with_token(self.settings, renew=renew)
        # Another server took this time, and its callers have deadlines of their own.
        self.deadline += monotonic() - started

    def find_addresses(self) -> None:
        settings = self.settings
        try:
            self.addresses = resolve(settings.host, settings.port, self._policy, deadline=self.deadline)
        except HostRefused as error:
            kind = ConnectionFault if isinstance(error, _NEEDS_A_CHANGE) else TransientError
            raise kind(Step.RESOLVE, code=error.code, seen=str(error.reason)) from error

    def connect(self) -> None:
        try:
            connected, self.address = connect(self.addresses, deadline=self.deadline)
        except WireFault as fault:
            raise as_transport_error(Step.CONNECT, fault) from fault
        secrets = secret_forms(self.settings.sign_in_name, self.settings.password)
        if self._transcript is not None:
            self._transcript.conceal(secrets)
        wire = Wire(connected, deadline=self.deadline, secrets=secrets, transcript=self._transcript)
        self._conversation = Conversation(self.settings, wire)

    def read_greeting(self, seconds: float | None = None) -> None:
        """The 220. After a silence of fewer `seconds` than the timeout it may be waited for again."""
        conversation = self.conversation
        try:
            raw = conversation.wire.read_reply(seconds=seconds or self.settings.timeout_seconds)
        except WireFault as fault:
            raise self._without_greeting(fault) from fault
        if raw.code >= 400:
            raise conversation.refusal(Step.GREETING, raw)
        if raw.code != 220:
            raise _not_smtp()
        conversation.banner = conversation.readable(raw).text

    def start_encryption(self) -> None:
        """TLS at once, by STARTTLS, or (`none`, or `auto` where it is not offered) not at all."""
        settings, conversation = self.settings, self.conversation
        if settings.security is Security.NONE:
            return
        if settings.is_implicit_tls:
            self._encrypt(is_first=True)
            return
        self._say_hello()
        if conversation.capabilities.starttls:
            raw = conversation.ask(Step.TLS, "STARTTLS")
            if raw.code != 220:
                raise conversation.refusal(Step.TLS, raw, code="" if raw.code == 421 else "tls.starttls_refused")
            self._encrypt(is_first=False)
        elif settings.security is not Security.AUTO:
            raise ConnectionFault(Step.TLS, code="tls.starttls_not_offered", seen="STARTTLS is not offered")

    def ask_capabilities(self) -> None:
        """EHLO, where it was not said yet: what was offered before TLS counts for nothing after it."""
        is_known = self.settings.security is Security.AUTO and self.conversation.encryption is None
        if not is_known:
            self._say_hello()

    def sign_in(self) -> None:
        """AUTH, but for `auth: none`. A token that is refused is replaced by another one, once."""
        if self.settings.auth is Auth.NONE:
            return
        try:
            sign_in(self.conversation)
        except ConnectionFault as fault:
            if not self.settings.asks_for_token or fault.code not in TOKEN_REFUSED:
                raise
            self._begin_again_with_another_token()
            sign_in(self.conversation)

    def _begin_again_with_another_token(self) -> None:
        """On a new connection: Google takes no second AUTH on the one where the first was refused."""
        self.close()
        self.fetch_token(renew=True)
        for step, take in self.steps:
            if step not in {Step.TOKEN, Step.RESOLVE, Step.AUTHENTICATE}:
                take()

    def _say_hello(self) -> None:
        conversation, name = self.conversation, self.settings.helo_name
        raw = conversation.ask(Step.CAPABILITIES, f"EHLO {name}", most_lines=_MOST_EHLO_LINES)
        conversation.capabilities = read_capabilities(raw.lines[1:]) if raw.code < 300 else Capabilities()
        if raw.code in _EHLO_UNKNOWN and self._can_do_without_extensions():
            raw = conversation.ask(Step.CAPABILITIES, f"HELO {name}")
        if raw.code >= 300:
            raise conversation.refusal(Step.CAPABILITIES, raw)

    def _can_do_without_extensions(self) -> bool:
        is_encrypted = self.conversation.encryption is not None
        return self.settings.auth is Auth.NONE and (is_encrypted or self.settings.security is not Security.STARTTLS)

    def _encrypt(self, *, is_first: bool) -> None:
        wire = self.conversation.wire
        try:
            seconds = wire.time_left(self.settings.timeout_seconds)
            name = normalise_host(self.settings.host)
            wire.upgrade(encrypt(wire.socket, self._trust(), server_name=name, seconds=seconds, is_first=is_first))
        except WireFault as fault:
            raise as_transport_error(Step.TLS, fault) from fault

    def _without_greeting(self, fault: WireFault) -> TransportError:
        if fault.code == "smtp.malformed_reply":
            return _not_smtp()
        is_tls_port = self.settings.port in IMPLICIT_TLS_PORTS and not self.settings.is_implicit_tls
        if fault.code == "network.silence" and is_tls_port:
            fault = WireFault("tls.expected_tls", fault.seen)
        return as_transport_error(Step.GREETING, fault)


_NEEDS_A_CHANGE = (AddressRefused, PortRefused, NameNotFound)


def open_conversation(
    settings: SMTPSettings, *, policy: MailPolicy, trust: Callable[[], ssl.SSLContext]
) -> Conversation:
    """All steps at once, for a transport. Raises TransportError; nothing is left open then."""
    refuse_unsafe_token(settings)
    deadline = monotonic() + _OPENING_SECONDS + _OPENING_WAITS * settings.timeout_seconds
    opening = Opening(settings, policy=policy, trust=trust, deadline=deadline)
    try:
        for _, take in opening.steps:
            take()
    except BaseException:
        opening.close()
        raise
    return opening.conversation


# Ten seconds to connect, and three slow answers; a server that is slow at every step is given up.
_OPENING_SECONDS = 10.0
_OPENING_WAITS = 3


def _not_smtp() -> ConnectionFault:
    # What the host said instead is not shown: it may be any service of the inner network.
    return ConnectionFault(Step.GREETING, code="smtp.not_smtp", seen="the answer is no SMTP greeting")
