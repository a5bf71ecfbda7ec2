"""The way out over Microsoft Graph: messages as a mailbox, by its owner's consent or by an application's own right.

Messages go as MIME, since Graph's JSON takes five headers of ours and none but `X-`. Graph knows no envelope: it
mails whom the headers name, and the sender of the envelope is always the mailbox, so `mail_from` has no effect.
The mailbox's Sent Items keeps a copy. A 202 means that Exchange took the message, no more.
Sources: learn.microsoft.com, "user: sendMail", "Microsoft Graph error responses", "Throttling guidance".
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import quote

from portal.clock import utc_now
from portal.network.https import HTTPS, Answer
from portal.transports import AccessToken, OutgoingMessage, PermanentError, Reply, SendReport, Step
from portal.transports.api_calls import APICalls, APIRequest
from portal.transports.graph_drafts import UPLOAD_PERMISSION, Drafts
from portal.transports.http_refusals import Rule, names, words
from portal.transports.large_attachments import without_large_attachments
from portal.transports.recipient_headers import with_recipients_in_headers
from portal.transports.refusals import Fate
from portal.transports.smtp_blotting import printable

LARGEST_MESSAGE = 3_000_000  # octets: in base64 they are the 4 MB that a request may have
_DAILY = timedelta(hours=1)  # a window of a day is asked again once an hour

RULES: tuple[Rule, ...] = (
    Rule(fate=Fate.WAY_OUT, step=Step.TOKEN, code="graph.claims_challenge", names=names("insufficient_claims")),
    Rule(fate=Fate.WAY_OUT, step=Step.TOKEN, code="graph.token_refused", statuses=frozenset({401})),
    Rule(
        fate=Fate.SENDER,
        step=Step.SENDER,
        code="graph.send_as_denied",
        names=names("ErrorSendAsDenied", "ErrorSendOnBehalfOfDenied"),
    ),
    Rule(fate=Fate.SENDER, step=Step.SENDER, code="graph.send_as_denied", words=words(r"SendAsDenied")),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.SENDER,
        code="graph.mailbox_blocked",
        names=names("ErrorMessageSubmissionBlocked", "ErrorAccountSuspend"),
    ),
    Rule(
        fate=Fate.QUOTA,
        step=Step.CONTENT,
        code="graph.sending_limit",
        names=names("ErrorExceededMessageLimit"),
        rest=_DAILY,
    ),
    Rule(
        fate=Fate.QUOTA,
        step=Step.CONTENT,
        code="graph.sending_limit",
        words=words(r"SubmissionQuotaExceeded"),
        rest=_DAILY,
    ),
    Rule(fate=Fate.WAY_OUT, step=Step.MAILBOX, code="graph.mailbox_full", names=names("ErrorQuotaExceeded")),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.MAILBOX,
        code="graph.mailbox_not_enabled",
        names=names("MailboxNotEnabledForRESTAPI", "MailboxNotSupportedForRESTAPI"),
    ),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.MAILBOX,
        code="graph.mailbox_not_found",
        names=names("ErrorInvalidUser", "ErrorNonExistentMailbox", "Request_ResourceNotFound", "ResourceNotFound"),
    ),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.PERMISSIONS,
        code="graph.directory_permission_missing",
        names=names("Authorization_RequestDenied"),
    ),
    Rule(fate=Fate.WAY_OUT, step=Step.PERMISSIONS, code="graph.policy_blocks", names=names("extensionError")),
    Rule(
        fate=Fate.WAY_OUT,
        step=Step.PERMISSIONS,
        code="graph.policy_blocks",
        words=words(r"access ?policy", r"\[RAOP\]"),
    ),
    Rule(
        fate=Fate.NEVER,
        step=Step.RECIPIENT,
        code="graph.recipients_refused",
        names=names("ErrorInvalidRecipients", "ErrorInvalidEmailAddress"),
    ),
    Rule(
        fate=Fate.NEVER,
        step=Step.CONTENT,
        code="graph.message_too_large",
        names=names("ErrorMessageSizeExceeded", "RequestEntityTooLarge"),
    ),
    Rule(fate=Fate.NEVER, step=Step.CONTENT, code="graph.message_too_large", statuses=frozenset({413})),
    Rule(
        fate=Fate.NEVER,
        step=Step.CONTENT,
        code="graph.message_too_large",
        words=words(r"maximum request length"),
    ),
    Rule(
        fate=Fate.QUOTA,
        step=Step.CONTENT,
        code="graph.throttled",
        names=names("TooManyRequests", "ApplicationThrottled", "MailboxConcurrency", "ErrorTooManyRequests"),
    ),
    Rule(fate=Fate.QUOTA, step=Step.CONTENT, code="graph.throttled", statuses=frozenset({429})),
    Rule(
        fate=Fate.LATER,
        step=Step.CONNECT,
        code="graph.unavailable",
        names=names("serviceNotAvailable", "ErrorServerBusy", "ErrorMailboxStoreUnavailable"),
    ),
    Rule(fate=Fate.LATER, step=Step.CONNECT, code="graph.unavailable", statuses=frozenset({408, 503})),
    Rule(fate=Fate.LATER, step=Step.CONTENT, code="graph.unavailable", statuses=frozenset({409, *range(500, 600)})),
    Rule(fate=Fate.WAY_OUT, step=Step.PERMISSIONS, code="graph.access_denied", statuses=frozenset({403})),
    Rule(fate=Fate.WAY_OUT, step=Step.MAILBOX, code="graph.mailbox_not_found", statuses=frozenset({404})),
    Rule(fate=Fate.NEVER, step=Step.CONTENT, code="graph.message_refused", statuses=frozenset({400, 422})),
    Rule(fate=Fate.WAY_OUT, step=Step.PERMISSIONS, code="graph.refused"),
)


class GraphTransport:
    """A `Transport` that sends as one mailbox.

    `graph_url` is without "/v1.0"; `mailbox` is an address or an object ID, "" for whoever gave the consent.
    A message with more than `largest_message` octets becomes a draft first, whose attachments are uploaded. That needs
    Mail.ReadWrite: `may_upload` is asked for each such message, since consent may come and go. It may raise
    TransportError.
    """

    def __init__(
        self,
        https: HTTPS,
        *,
        graph_url: str,
        mailbox: str,
        access_token: AccessToken,
        largest_message: int = LARGEST_MESSAGE,
        may_upload: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._user_url = user_url(graph_url, mailbox)
        self._largest = largest_message
        self._calls = APICalls(https, access_token=access_token, rules=RULES, clock=clock)
        self._may_upload = may_upload
        self._drafts = Drafts(self._calls, user_url=self._user_url)

    def send(
        self,
        message: OutgoingMessage,
        *,
        may_proceed: Callable[[], bool],
        following: OutgoingMessage | None = None,  # noqa: ARG002 - without an envelope nothing can go ahead
    ) -> SendReport:
        """As `Transport.send`; `may_proceed` is asked once more when a token was refused and renewed."""
        content = with_recipients_in_headers(message)
        if len(content) <= self._largest:
            request = APIRequest(
                method="POST",
                url=f"{self._user_url}/sendMail",
                headers={"Content-Type": "text/plain"},
                content=b64encode(content),
            )
            return self._calls.send(message, request, may_proceed=may_proceed, accepted=_accepted)
        if not self._may_upload():
            raise self._too_large(content, f"without {UPLOAD_PERMISSION}")
        parted = without_large_attachments(content, largest=self._largest)
        if parted is None:
            raise self._too_large(content, "and its attachments cannot go apart")
        return self._drafts.send(message, parted, may_proceed=may_proceed, accepted=_accepted)

    def close(self) -> None:
        """As `Transport.close`: connections belong to the HTTPS session."""

    def _too_large(self, content: bytes, why: str) -> PermanentError:
        seen = f"the message has {len(content)} bytes, Microsoft Graph takes {self._largest} at once, {why}"
        return PermanentError(Step.CONTENT, code="graph.message_too_large", seen=seen)


def user_url(graph_url: str, mailbox: str) -> str:
    """Where the mailbox lives in Graph, "" being whoever gave the consent."""
    user = f"users/{quote(mailbox, safe='@')}" if mailbox else "me"
    return f"{graph_url.rstrip('/')}/v1.0/{user}"


def _accepted(answer: Answer) -> Reply | None:
    """Graph gives no number to what it took; with the request's own its support finds the message."""
    number = answer.headers.get("request-id", "")
    return (
        Reply(202, f"request-id {printable(number[:100])}" if number else "accepted") if answer.status == 202 else None
    )
