"""Signing in to a submission server: AUTH PLAIN and AUTH LOGIN (RFC 4954, RFC 4616)."""

from __future__ import annotations

from base64 import b64encode

from portal.transports import ConnectionFault, Step, TransientError
from portal.transports.smtp_blotting import BLOT
from portal.transports.smtp_conversation import Conversation
from portal.transports.smtp_settings import Auth, Security
from portal.transports.smtp_wire import RawReply

_BY_PREFERENCE = {Auth.PASSWORD: ("PLAIN", "LOGIN"), Auth.PLAIN: ("PLAIN",), Auth.LOGIN: ("LOGIN",)}
_LONGEST_COMMAND = 510  # RFC 5321 4.5.3.1.4, without CRLF


def sign_in(conversation: Conversation) -> None:
    """By the best mechanism that settings and server have in common. Raises TransportError.

    Never in clear text, unless the settings' security is `none`.
    """
    mechanism = _mechanism(conversation)
    raw = _plain(conversation) if mechanism == "PLAIN" else _login(conversation)
    if raw.code == 334:
        seen = f"the server asks on and on after AUTH {mechanism}"
        raise TransientError(Step.AUTHENTICATE, code="smtp.malformed_reply", seen=seen)
    if raw.code >= 300:
        raise conversation.refusal(Step.AUTHENTICATE, raw)
    conversation.is_signed_in = True


def _mechanism(conversation: Conversation) -> str:
    settings, offered = conversation.settings, conversation.capabilities.mechanisms
    is_clear = conversation.encryption is None
    if is_clear and settings.security is not Security.NONE:
        raise _cannot("smtp.auth_needs_tls", "the connection is not encrypted")
    if is_clear and not offered and conversation.capabilities.starttls:
        raise _cannot("smtp.auth_needs_tls", "sign-in is offered only after STARTTLS")
    if not offered:
        raise _cannot("smtp.auth_not_offered", "EHLO offers no AUTH")
    for mechanism in _BY_PREFERENCE[settings.auth]:
        if mechanism in offered:
            return mechanism
    raise _cannot("smtp.auth_mechanism_not_offered", f"EHLO offers AUTH {' '.join(offered)}"[:300])


def _cannot(code: str, seen: str) -> ConnectionFault:
    return ConnectionFault(Step.AUTHENTICATE, code=code, seen=seen)


def _plain(conversation: Conversation) -> RawReply:
    settings = conversation.settings
    response = _encode(f"\0{settings.sign_in_name}\0{settings.password}")
    command = f"AUTH PLAIN {response}"
    if len(command) <= _LONGEST_COMMAND:
        return conversation.ask(Step.AUTHENTICATE, command, shown=f"AUTH PLAIN {BLOT}")
    raw = conversation.ask(Step.AUTHENTICATE, "AUTH PLAIN")
    return conversation.ask(Step.AUTHENTICATE, response, shown=BLOT) if raw.code == 334 else raw


def _login(conversation: Conversation) -> RawReply:
    raw = conversation.ask(Step.AUTHENTICATE, "AUTH LOGIN")
    for answer in (conversation.settings.sign_in_name, conversation.settings.password):
        if raw.code != 334:
            break
        raw = conversation.ask(Step.AUTHENTICATE, _encode(answer), shown=BLOT)
    return raw


def _encode(text: str) -> str:
    return b64encode(text.encode()).decode()
