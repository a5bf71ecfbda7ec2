"""The stand-in's Gmail API: sending, and the addresses that an account may send as."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from secrets import token_hex

from tests.outside.google_refusals import GmailRefused
from tests.outside.google_registry import AccessToken, Account, Registry
from tests.outside.google_scopes import FULL_MAIL, GMAIL, SEND
from tests.outside.stand_in_http import Answer, Request, json_answer

MAY_SEND = frozenset({SEND, FULL_MAIL, f"{GMAIL}compose", f"{GMAIL}modify"})
MAY_LIST_ADDRESSES = frozenset({FULL_MAIL, f"{GMAIL}modify", f"{GMAIL}readonly", f"{GMAIL}settings.basic"})
MOST_UPLOADED = 36_700_160
MOST_IN_JSON = 5 * 1024 * 1024
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class ReceivedMessage:
    """A message that the API took."""

    id: str
    thread_id: str
    account: str  # whose token it came with
    content: bytes = field(repr=False)  # RFC 5322, as it was handed over
    how: str  # "upload", or "json" for the raw field
    rcpt_to: tuple[str, ...]  # the addresses of To, Cc and Bcc
    from_address: str  # what recipients see: the account's own unless From is one of its addresses


class Gmail:
    """`keep` gets each message that is sent, `lose` each that was answered with a 200 and is not."""

    def __init__(
        self,
        registry: Registry,
        keep: Callable[[ReceivedMessage], None],
        lose: Callable[[ReceivedMessage], None],
    ) -> None:
        self._registry = registry
        self._keep = keep
        self._lose = lose
        self._sent_at: dict[str, list[datetime]] = {}

    def upload(self, request: Request) -> Answer:
        """The message itself as the body: `uploadType=media` with `message/rfc822`."""
        try:
            account = self._sender(request)
            if request.query.get("uploadType") != "media":
                raise GmailRefused("invalidArgument", "The stand-in takes uploadType=media only.")
            if request.headers.get_content_maintype() != "message":
                kind = request.headers.get_content_type()
                raise GmailRefused(
                    "invalidArgument", f"Media type '{kind}' is not supported. Valid media types: [message/*]"
                )
            if len(request.content) > MOST_UPLOADED:
                raise GmailRefused("uploadTooLarge")
            return self._send(account, request.content, "upload", "")
        except GmailRefused as refused:
            return refused.answer

    def send(self, request: Request) -> Answer:
        """The message in base64url in the field `raw` of a JSON object."""
        try:
            account = self._sender(request)
            if len(request.content) > MOST_IN_JSON:
                raise GmailRefused("uploadTooLarge")
            content, thread_id = _raw(request.content)
            return self._send(account, content, "json", thread_id)
        except GmailRefused as refused:
            return refused.answer

    def addresses(self, request: Request) -> Answer:
        try:
            account = self._account(request, MAY_LIST_ADDRESSES)
        except GmailRefused as refused:
            return refused.answer
        own = {"sendAsEmail": account.address, "displayName": account.name, "isPrimary": True, "isDefault": True}
        others = [
            {"sendAsEmail": alias, "displayName": account.name, "isDefault": False, "verificationStatus": "accepted"}
            for alias in account.aliases
        ]
        others += [
            {"sendAsEmail": alias, "displayName": account.name, "isDefault": False, "verificationStatus": "pending"}
            for alias in account.unconfirmed_aliases
        ]
        return json_answer({"sendAs": [own, *others]})

    def _sender(self, request: Request) -> Account:
        account = self._account(request, MAY_SEND)
        if not account.has_gmail:
            raise GmailRefused("failedPrecondition")
        return account

    def _account(self, request: Request, scopes: frozenset[str]) -> Account:
        """Whose mailbox the path means, if the token is good for it. Raises GmailRefused."""
        token = self._registry.live_access_token(request.bearer)
        if token is None:
            raise GmailRefused("authError")
        if not token.scopes & scopes:
            raise GmailRefused("insufficientPermissions")
        account = self._registry.account(token.account)
        if account is None:
            raise GmailRefused("failedPrecondition", "Precondition check failed.")
        _check_user(request.path, token)
        return account

    def _send(self, account: Account, content: bytes, how: str, thread_id: str) -> Answer:
        rcpt_to = _recipients(content)
        number = token_hex(8)
        message = ReceivedMessage(
            id=number,
            thread_id=thread_id or number,
            account=account.address,
            content=content,
            how=how,
            rcpt_to=rcpt_to,
            from_address=_from_address(content, account),
        )
        self._count(account, message)
        return json_answer({"id": message.id, "threadId": message.thread_id, "labelIds": ["SENT"]})

    def _count(self, account: Account, message: ReceivedMessage) -> None:
        """Keep the message within the day's limit; beyond it lose as many as Gmail notices late, then refuse."""
        now = self._registry.now()
        sent_at = [at for at in self._sent_at.get(account.address, []) if at > now - timedelta(days=1)]
        beyond = 0 if account.messages_per_day is None else len(sent_at) + 1 - account.messages_per_day
        if beyond > account.noticed_late:
            free_at = sent_at[0] + timedelta(days=1) if sent_at else now + timedelta(days=1)
            until = free_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            raise GmailRefused("rateLimitExceeded", f"User-rate limit exceeded.  Retry after {until} (Mail sending)")
        self._sent_at[account.address] = [*sent_at, now]
        if beyond > 0:
            self._lose(message)
        else:
            self._keep(message)


def _check_user(path: str, token: AccessToken) -> None:
    user = path.partition("/users/")[2].partition("/")[0]
    if user.lower() not in {"me", token.account}:
        raise GmailRefused("forbidden", f"Delegation denied for {token.account}")


def _raw(body: bytes) -> tuple[bytes, str]:
    """The message and the thread that a JSON request names. Raises GmailRefused."""
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise GmailRefused("invalidArgument", "Invalid JSON payload received.") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("raw"), str) or not asked["raw"]:
        text = "'raw' RFC822 payload message string or uploading message via /upload/* URL required"
        raise GmailRefused("invalidArgument", text)
    raw = asked["raw"].rstrip("=")
    # The usual alphabet, with plus and slash, is refused; padding may be left out.
    if not _BASE64URL.fullmatch(raw) or len(raw) % 4 == 1:
        raise GmailRefused("invalidArgument", "Invalid value for ByteString")
    return urlsafe_b64decode(raw + "=" * (-len(raw) % 4)), str(asked.get("threadId") or "")


def _recipients(content: bytes) -> tuple[str, ...]:
    """Whom the To, Cc and Bcc headers name, in their order. Raises GmailRefused."""
    headers = BytesHeaderParser().parsebytes(content)
    found: list[str] = []
    for name in ("To", "Cc", "Bcc"):
        for _, address in getaddresses([str(value) for value in headers.get_all(name, [])]):
            local_part, _, domain = address.rpartition("@")
            if not local_part or not domain or set(address) & set(" \t<>"):
                raise GmailRefused("invalidArgument", f"Invalid {name} header")
            found.append(address)
    if not found:
        raise GmailRefused("invalidArgument", "Recipient address required")
    return tuple(dict.fromkeys(found))


def _from_address(content: bytes, account: Account) -> str:
    asked = [address for _, address in getaddresses([str(BytesHeaderParser().parsebytes(content)["From"] or "")])]
    own = {address.lower() for address in (account.address, *account.aliases)}
    return asked[0] if len(asked) == 1 and asked[0].lower() in own else account.address
