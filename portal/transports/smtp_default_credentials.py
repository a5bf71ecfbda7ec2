"""Signing in as the host itself: AUTH GSSAPI with Kerberos, AUTH NTLM with the operator's credential file.

Neither asks for a user name or password. Kerberos goes first; NTLM is for servers without it, or hosts without a
ticket. Sources: RFC 4954, RFC 4752, MS-SMTPNTLM.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Protocol

from portal.network.host_names import normalise_host
from portal.transports import ConnectionFault, Step, TransientError
from portal.transports.kerberos import KerberosDialogue
from portal.transports.ntlm import NTLMDialogue, has_credential_file
from portal.transports.smtp_blotting import BLOT
from portal.transports.smtp_conversation import Conversation, as_transport_error
from portal.transports.smtp_safe_sign_in import refuse_unsafe_ntlm
from portal.transports.smtp_wire import RawReply, WireFault

_MOST_ROUNDS = 5  # Kerberos takes three, NTLM two
_WITHOUT_TICKET = frozenset({"smtp.kerberos_missing", "smtp.kerberos_no_ticket"})


class Dialogue(Protocol):
    """One side of a sign-in in several messages; every method may raise TransportError."""

    @property
    def refused_code(self) -> str:
        """The diagnosis of a refusal."""

    @property
    def identity(self) -> str:
        """Whom the server is told, where that is known yet."""

    @property
    def has_proof(self) -> bool:
        """Whether a yes of the server may be believed by now."""

    def begin(self) -> bytes: ...

    def answer(self, challenge: bytes) -> bytes: ...


def by_kerberos(conversation: Conversation) -> RawReply:
    """AUTH GSSAPI; AUTH NTLM where this host has no ticket but a credential file. Raises TransportError."""
    try:
        dialogue = KerberosDialogue(_host(conversation), seconds_left=lambda: _seconds_left(conversation))
        first = dialogue.begin()
    except ConnectionFault as fault:
        is_ntlm_possible = "NTLM" in conversation.capabilities.mechanisms and has_credential_file()
        if fault.code not in _WITHOUT_TICKET or not is_ntlm_possible:
            raise
        return by_ntlm(conversation)
    return _converse(conversation, "GSSAPI", dialogue, first)


def by_ntlm(conversation: Conversation) -> RawReply:
    """AUTH NTLM, where the operator's credential file allows it, over verified TLS. Raises TransportError."""
    if not has_credential_file():
        seen = "the server offers only NTLM, and NTLM_USER_FILE names no file"
        raise ConnectionFault(Step.AUTHENTICATE, code="smtp.ntlm_no_credentials", seen=seen)
    refuse_unsafe_ntlm(conversation)
    dialogue = NTLMDialogue(_host(conversation))
    return _converse(conversation, "NTLM", dialogue, dialogue.begin())


def _converse(conversation: Conversation, mechanism: str, dialogue: Dialogue, first: bytes) -> RawReply:
    """Message and challenge in turn, the first message in a line of its own: tickets are longer than a command may be.

    The first challenge is empty (RFC 4752 3.1) but for Exchange, which writes "GSSAPI supported" there in plain words.
    """
    raw = conversation.ask(Step.AUTHENTICATE, f"AUTH {mechanism}")
    if raw.code != 334:
        return raw
    message = first
    for _ in range(_MOST_ROUNDS):
        shown = f"{BLOT} ({dialogue.identity})" if dialogue.identity else BLOT
        raw = conversation.ask(Step.AUTHENTICATE, b64encode(message).decode(), shown=shown)
        if raw.code != 334:
            break
        message = dialogue.answer(_challenge(raw))
    if raw.code >= 500:  # whatever passes by itself has nothing to do with the identity
        raise conversation.refusal(Step.AUTHENTICATE, raw, code=dialogue.refused_code)
    if raw.code < 300 and not dialogue.has_proof:
        raise _malformed("the server says yes before it has proved who it is")
    return raw


def _challenge(raw: RawReply) -> bytes:
    try:
        return b64decode(b"".join(raw.lines), validate=True)
    except ValueError:
        raise _malformed("a challenge that is not in base64") from None


def _host(conversation: Conversation) -> str:
    return normalise_host(conversation.settings.host)


def _seconds_left(conversation: Conversation) -> float:
    try:
        return conversation.wire.time_left(conversation.settings.timeout_seconds)
    except WireFault as fault:
        raise as_transport_error(Step.AUTHENTICATE, fault) from fault


def _malformed(seen: str) -> TransientError:
    return TransientError(Step.AUTHENTICATE, code="smtp.malformed_reply", seen=seen)
