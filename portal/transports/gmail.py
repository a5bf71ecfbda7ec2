"""The way out over the Gmail API: messages as the account that gave its consent, or that a service account acts for.

The API knows no envelope: it mails whom the message's headers name, and the sender of the envelope is always the
account, so `mail_from` has no effect. The account's Sent folder keeps a copy. A 200 means that Gmail took the
message; over a daily limit it may say so and bounce the message later to the account.
Sources: developers.google.com, Gmail API, "users.messages.send", "Uploading attachments", "Resolve errors".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from portal.clock import utc_now
from portal.network.https import HTTPS, Answer
from portal.transports import AccessToken, OutgoingMessage, PermanentError, Reply, SendReport, Step
from portal.transports.api_calls import APICalls, APIRequest
from portal.transports.http_refusals import Rule, names, words
from portal.transports.recipient_headers import with_recipients_in_headers
from portal.transports.refusals import Fate
from portal.transports.smtp_blotting import printable

LARGEST_MESSAGE = 36_700_160  # octets with everything encoded, as the API's discovery document says
_DAILY = timedelta(hours=1)  # a window of a day is asked again once an hour

RULES: tuple[Rule, ...] = (
    Rule(fate=Fate.WAY_OUT, step=Step.TOKEN, code="gmail.token_refused", statuses=frozenset({401})),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.PERMISSIONS,
        code="google.scope_missing",
        names=names(
            *("insufficientPermissions", "insufficientPermission", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
            "insufficient_scope",
        ),
    ),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.PERMISSIONS,
        code="gmail.api_disabled",
        names=names("accessNotConfigured", "SERVICE_DISABLED"),
    ),
    Rule(fate=Fate.WAY_OUT, step=Step.PERMISSIONS, code="gmail.domain_policy", names=names("domainPolicy")),
    Rule(
        fate=Fate.QUOTA,
        step=Step.CONTENT,
        code="gmail.sending_limit",
        statuses=frozenset({403, 429}),
        words=words(r"\(mail sending\)", r"sending (limit|quota)"),
        rest=_DAILY,
    ),
    Rule(
        fate=Fate.QUOTA,
        step=Step.CONTENT,
        code="gmail.project_quota",
        names=names("dailyLimitExceeded", "quotaExceeded"),
        rest=_DAILY,
    ),
    # The quota is counted by the minute, and a minute is the usual rest: no need to wait longer and longer.
    Rule(
        fate=Fate.QUOTA,
        step=Step.CONTENT,
        code="gmail.rate_limited",
        names=names("rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"),
    ),
    Rule(fate=Fate.QUOTA, step=Step.CONTENT, code="gmail.rate_limited", statuses=frozenset({429})),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.MAILBOX,
        code="gmail.mail_not_enabled",
        names=names("failedPrecondition", "FAILED_PRECONDITION"),
    ),
    Rule(fate=Fate.NEVER, step=Step.CONTENT, code="gmail.message_too_large", statuses=frozenset({413})),
    Rule(
        fate=Fate.NEVER,
        step=Step.CONTENT,
        code="gmail.message_too_large",
        statuses=frozenset({400}),
        names=names("uploadTooLarge"),
    ),
    Rule(
        fate=Fate.NEVER,
        step=Step.RECIPIENT,
        code="gmail.recipients_refused",
        statuses=frozenset({400}),
        words=words(r"recipient", r"invalid (to|cc|bcc) header"),
    ),
    Rule(fate=Fate.NEVER, step=Step.CONTENT, code="gmail.message_refused", statuses=frozenset({400, 422})),
    Rule(fate=Fate.LATER, step=Step.CONNECT, code="gmail.unavailable", statuses=frozenset({408, 503})),
    Rule(fate=Fate.LATER, step=Step.CONTENT, code="gmail.unavailable", statuses=frozenset({409, *range(500, 600)})),
    Rule(fate=Fate.WAY_OUT, step=Step.PERMISSIONS, code="gmail.refused"),
)


class GmailTransport:
    """A `Transport` that uploads each message as it is: no size but Gmail's own, nothing encoded twice.

    `api_url` is without path, "https://gmail.googleapis.com".
    """

    def __init__(
        self,
        https: HTTPS,
        *,
        api_url: str,
        access_token: AccessToken,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._url = f"{api_url.rstrip('/')}/upload/gmail/v1/users/me/messages/send"
        self._calls = APICalls(https, access_token=access_token, rules=RULES, clock=clock)

    def send(
        self,
        message: OutgoingMessage,
        *,
        may_proceed: Callable[[], bool],
        following: OutgoingMessage | None = None,  # noqa: ARG002 - without an envelope nothing can go ahead
    ) -> SendReport:
        """As `Transport.send`; `may_proceed` is asked once more when a token was refused and renewed."""
        content = with_recipients_in_headers(message)
        if len(content) > LARGEST_MESSAGE:
            seen = f"the message has {len(content)} bytes, Gmail takes {LARGEST_MESSAGE}"
            raise PermanentError(Step.CONTENT, code="gmail.message_too_large", seen=seen)
        request = APIRequest(
            method="POST",
            url=self._url,
            headers={"Content-Type": "message/rfc822"},
            content=content,
            params={"uploadType": "media"},
        )
        return self._calls.send(message, request, may_proceed=may_proceed, accepted=_accepted)

    def close(self) -> None:
        """As `Transport.close`: connections belong to the HTTPS session."""


def _accepted(answer: Answer) -> Reply | None:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return None
    number = body.get("id") if isinstance(body, dict) else None
    return (
        Reply(200, f"id {printable(number[:100])}")
        if answer.status == 200 and isinstance(number, str) and number
        else None
    )
