"""What a sign-in must not go over: who takes an access token, or the answer of NTLM, can use it as its owner could.

A token opens the mailbox by itself for an hour; an NTLM answer can be passed on to another server at once, and the
password behind it guessed at leisure. So neither goes to a server that no certificate vouches for.
Sources: RFC 6750 5.2 and 5.3; RFC 9700 2; MS-NLMP 5.1.
"""

from __future__ import annotations

from portal.transports import ConnectionFault, Step
from portal.transports.smtp_conversation import Conversation
from portal.transports.smtp_settings import SMTPSettings


def refuse_unsafe_token(settings: SMTPSettings) -> None:
    """Raise ConnectionFault where an access token would go to a server that is not vouched for, or not meant for it.

    Nothing is connected yet. That no token goes in clear text is seen to where it is said: `smtp_sign_in`.
    """
    if not settings.signs_in_with_token:
        return
    if not settings.is_token_host:
        seen = f"{settings.host} is not a server of the provider, and PORTAL_MAIL_ALLOW does not name it"
        raise ConnectionFault(Step.SETTINGS, code="smtp.token_host_refused", seen=seen)
    if not settings.verify_certificate:
        seen = "the check of the server's certificate is switched off"
        raise ConnectionFault(Step.SETTINGS, code="smtp.token_needs_verified_tls", seen=seen)


def refuse_unsafe_ntlm(conversation: Conversation) -> None:
    """Raise ConnectionFault where the server's certificate was not verified."""
    is_encrypted = conversation.encryption is not None
    if is_encrypted and conversation.settings.verify_certificate:
        return
    seen = "the server's certificate is not checked" if is_encrypted else "the connection is not encrypted"
    raise ConnectionFault(Step.AUTHENTICATE, code="smtp.ntlm_needs_verified_tls", seen=seen)
