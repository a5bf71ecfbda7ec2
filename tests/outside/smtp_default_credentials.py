"""A submission server for sign-in as a host: AUTH GSSAPI and AUTH NTLM, judged by the server's side of GSSAPI.

Its keys and accounts are those that the environment names in KRB5_KTNAME and NTLM_USER_FILE.

    with DefaultCredentialsServer(certificate=certificate) as server:
        ...                              # connect to server.host, server.port
        server.signed_in_as              # ["portal@CONTOSO.TEST"]

The conversation is aiosmtpd's. What it should do otherwise is said when it is made:

    mechanisms=("NTLM",)                 # what EHLO offers
    first_challenge=b"GSSAPI supported"  # plain words where others say nothing, as Exchange does
    layers=4                             # what is offered after Kerberos: 1 none, 2 signed, 4 encrypted
    delay=2.0                            # seconds before the first token is looked at
    answers={2: "535 5.7.8 no"}          # the reply to the client's second message; "334 …" as it stands, then on
    on_first_token=…                     # what happens meanwhile
"""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import gssapi
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from gssapi.raw.misc import GSSError

from tests.outside.certificates import ServerCertificate

_NTLM = gssapi.OID.from_int_seq("1.3.6.1.4.1.311.2.2.10")
_ANY_SIZE = b"\x00\xff\xff"  # of a message under a layer, were one chosen


def has_ntlm() -> bool:
    """Whether the machine's GSSAPI speaks NTLM, which is Debian's gss-ntlmssp."""
    return _NTLM in gssapi.raw.indicate_mechs()


class Acceptor(Protocol):
    """The server's side of one sign-in; `identity` is "" until it is over."""

    identity: str

    def step(self, token: bytes) -> bytes | None:
        """The next challenge; None when it is over. Raises PermissionError where the client is not believed."""


class KerberosAcceptor:
    def __init__(self, layers: int) -> None:
        self.identity = ""
        self.choice = b""
        self._layers = bytes([layers])
        self._context = gssapi.SecurityContext(usage="accept")
        self._has_offered = False

    def step(self, token: bytes) -> bytes | None:
        if self._has_offered:
            self.choice = self._context.unwrap(token).message
            self.identity = str(self._context.initiator_name)
            return None
        if self._context.complete:
            return self._offer()
        try:
            answer: bytes | None = self._context.step(token)
            return answer if answer else self._offer() if self._context.complete else b""
        except GSSError as error:
            raise PermissionError(str(error)) from error

    def _offer(self) -> bytes:
        self._has_offered = True
        offer: bytes = self._context.wrap(self._layers + _ANY_SIZE, False).message
        return offer


class NTLMAcceptor:
    def __init__(self) -> None:
        self.identity = ""
        credentials = gssapi.Credentials(mechs=[_NTLM], usage="accept")
        self._context = gssapi.SecurityContext(usage="accept", creds=credentials)

    def step(self, token: bytes) -> bytes | None:
        try:
            challenge: bytes | None = self._context.step(token)
            if self._context.complete:
                self.identity = str(self._context.initiator_name).rstrip("\0")  # gss-ntlmssp 1.2 counts one too many
            return challenge
        except GSSError as error:
            raise PermissionError(str(error)) from error


class DefaultCredentialsServer:
    """Listens from `with` to its end; see the module for what it can do."""

    def __init__(
        self,
        *,
        certificate: ServerCertificate | None = None,
        mechanisms: tuple[str, ...] = ("GSSAPI",),
        first_challenge: bytes = b"",
        layers: int = 7,
        delay: float = 0.0,
        answers: Mapping[int, str] | None = None,
        on_first_token: Callable[[], object] | None = None,
    ) -> None:
        self.signed_in_as: list[str] = []
        self.choices: list[bytes] = []
        self.commands: list[str] = []
        self.tokens: list[bytes] = []
        self.messages: list[bytes] = []
        self.mechanisms = mechanisms
        self.first_challenge = first_challenge
        self.layers = layers
        self.delay = delay
        self.answers = dict(answers or {})
        self._on_first_token = on_first_token
        self.host, self.port = "localhost", _free_port()
        self._controller = _Controller(self, certificate)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._controller.stop()

    # What aiosmtpd calls

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(envelope.content)
        return "250 2.0.0 queued"

    async def auth_GSSAPI(self, server: SMTP, args: list[str]) -> AuthResult:
        acceptor = KerberosAcceptor(self.layers)
        result = await self._judge(server, args, acceptor)
        self.choices.append(acceptor.choice)
        return result

    async def auth_NTLM(self, server: SMTP, args: list[str]) -> AuthResult:
        return await self._judge(server, args, NTLMAcceptor())

    async def _judge(self, server: SMTP, args: list[str], acceptor: Acceptor) -> AuthResult:
        self.commands.append(f"AUTH {' '.join(args)}")
        challenge, is_plain = self.first_challenge, True
        while True:
            token = await server.challenge_auth(challenge, encode_to_b64=not is_plain)
            assert isinstance(token, bytes)
            self.tokens.append(token)
            scripted = self.answers.get(len(self.tokens), "")
            if scripted and not scripted.startswith("334 "):
                return AuthResult(success=scripted.startswith("2"), message=scripted, handled=False)
            if scripted:
                challenge, is_plain = scripted.removeprefix("334 ").encode(), True
                continue
            if len(self.tokens) == 1:
                await asyncio.sleep(self.delay)
                if self._on_first_token:
                    self._on_first_token()
            try:
                following = acceptor.step(token)
            except PermissionError:
                return AuthResult(success=False, handled=False)
            if following is None:
                self.signed_in_as.append(acceptor.identity)
                return AuthResult(success=True)
            challenge, is_plain = b64encode(following), True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class _Patient(SMTP):
    """With room for the lines that RFC 4954 asks for."""

    line_length_limit = 65536
    command_size_limit = 65536


class _Controller(Controller):
    def __init__(self, behaviour: DefaultCredentialsServer, certificate: ServerCertificate | None) -> None:
        super().__init__(behaviour, hostname="127.0.0.1", port=behaviour.port)
        self._behaviour = behaviour
        self._certificate = certificate

    def factory(self) -> SMTP:
        options: dict[str, Any] = {"tls_context": self._certificate.context()} if self._certificate else {}
        every = {"LOGIN", "PLAIN", "GSSAPI", "NTLM"}
        return _Patient(
            self._behaviour,
            hostname="mail.contoso.test",
            auth_required=self._certificate is not None,  # aiosmtpd warns of it in clear text
            auth_require_tls=self._certificate is not None,
            auth_exclude_mechanism=sorted(every - set(self._behaviour.mechanisms)),
            loop=self.loop,
            **options,
        )
