"""Signing in to a submission server: AUTH PLAIN and LOGIN with a password, XOAUTH2 and OAUTHBEARER with a token.

How the host signs in as itself stands in `smtp_default_credentials`.

Sources: RFC 4954, RFC 4616, RFC 7628; developers.google.com, "OAuth 2.0 Mechanism"; learn.microsoft.com,
"Authenticate an IMAP, POP or SMTP connection using OAuth".
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import replace

from portal.network.host_names import normalise_host
from portal.transports import ConnectionFault, Step, TransientError
from portal.transports.smtp_blotting import BLOT
from portal.transports.smtp_conversation import Conversation
from portal.transports.smtp_default_credentials import by_kerberos, by_ntlm
from portal.transports.smtp_settings import Auth, Security, SMTPSettings
from portal.transports.smtp_wire import RawReply

TOKEN_REFUSED = frozenset({"google.token_refused", "microsoft.token_refused", "smtp.token_refused"})
_BY_PREFERENCE = {
    Auth.PASSWORD: ("PLAIN", "LOGIN"),
    Auth.PLAIN: ("PLAIN",),
    Auth.LOGIN: ("LOGIN",),
    Auth.OAUTHBEARER: ("OAUTHBEARER",),
    Auth.XOAUTH2: ("XOAUTH2",),
    Auth.DEFAULT_CREDENTIALS: ("GSSAPI", "NTLM"),
}
_LONGEST_COMMAND = 510  # RFC 5321 4.5.3.1.4, without CRLF
_LONGEST_COMPLAINT = 300


def sign_in(conversation: Conversation) -> None:
    """By the best mechanism that settings and server have in common. Raises TransportError.

    A password goes in clear text only where the settings' security is `none`, a token never.
    """
    mechanism = _mechanism(conversation)
    raw = _EXCHANGES[mechanism](conversation)
    if raw.code == 334:
        seen = f"the server asks on and on after AUTH {mechanism}"
        raise TransientError(Step.AUTHENTICATE, code="smtp.malformed_reply", seen=seen)
    if raw.code >= 300:
        raise conversation.refusal(Step.AUTHENTICATE, raw)
    conversation.is_signed_in = True


def with_token(settings: SMTPSettings, *, renew: bool) -> SMTPSettings:
    """The settings with an access token as their password, another one than the last for `renew`.

    Raises TransportError, whatever the giver of tokens raises included.
    """
    if settings.access_token is None:
        return settings
    token = settings.access_token(renew)
    try:
        signing_in = replace(settings, password=token)
    except ValueError as error:
        raise ConnectionFault(Step.TOKEN, code="provider.refused", seen=str(error)) from None
    if not token:
        raise ConnectionFault(Step.TOKEN, code="provider.refused", seen="the access token is empty")
    return signing_in


def _mechanism(conversation: Conversation) -> str:
    settings, offered = conversation.settings, conversation.capabilities.mechanisms
    is_clear = conversation.encryption is None
    if is_clear and (settings.security is not Security.NONE or settings.signs_in_with_token):
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


def _xoauth2(conversation: Conversation) -> RawReply:
    settings = conversation.settings
    response = f"user={settings.sign_in_name}\1auth=Bearer {settings.password}\1\1"
    return _by_token(conversation, "XOAUTH2", response, after_complaint="")


def _oauthbearer(conversation: Conversation) -> RawReply:
    settings = conversation.settings
    name = settings.sign_in_name.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4
    where = f"host={normalise_host(settings.host)}\1port={settings.port}"
    response = f"n,a={name},\1{where}\1auth=Bearer {settings.password}\1\1"
    return _by_token(conversation, "OAUTHBEARER", response, after_complaint=_encode("\1"))


def _by_token(conversation: Conversation, mechanism: str, response: str, *, after_complaint: str) -> RawReply:
    """In two steps: tokens are longer than a command line may be (RFC 4954 section 4).

    Some servers say in one more challenge what they hold against the token and refuse it only once that was
    answered; then the reply ends with what they said.
    """
    raw = conversation.ask(Step.AUTHENTICATE, f"AUTH {mechanism}")
    if raw.code == 334:
        raw = conversation.ask(Step.AUTHENTICATE, _encode(response), shown=BLOT)
    if raw.code != 334:
        return raw
    complaint = _complaint(raw)
    raw = conversation.ask(Step.AUTHENTICATE, after_complaint)
    return RawReply(raw.code, [*raw.lines, complaint] if complaint else raw.lines)


def _complaint(raw: RawReply) -> bytes:
    """The error of a challenge, "status 400, schemes Bearer, scope https://mail.google.com/"; empty without one.

    The scope is the one that the server wants (RFC 7628 3.2.2), not that of the token.
    """
    try:
        said = json.loads(b64decode(b"".join(raw.lines)))
    except (ValueError, RecursionError):
        return b""
    if not isinstance(said, dict):
        return b""
    parts = [f"{name} {said[name]}" for name in ("status", "schemes", "scope") if isinstance(said.get(name), str | int)]
    return ", ".join(parts)[:_LONGEST_COMPLAINT].encode("utf-8", "replace")


def _encode(text: str) -> str:
    return b64encode(text.encode()).decode()


_EXCHANGES = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "OAUTHBEARER": _oauthbearer,
    "XOAUTH2": _xoauth2,
    "GSSAPI": by_kerberos,
    "NTLM": by_ntlm,
}
