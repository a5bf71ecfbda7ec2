"""The addresses that a Gmail account may send as, where its token happens to be good for reading them.

Source: developers.google.com, Gmail API, "users.settings.sendAs".
"""

from __future__ import annotations

from dataclasses import dataclass

from portal.mail.addresses import same_address_key
from portal.network.https import HTTPS, Answer
from portal.transports import AccessToken, Reply, Step, TransientError
from portal.transports.api_calls import APICalls, APIRequest
from portal.transports.gmail import RULES
from portal.transports.http_refusals import Problem

_READING = frozenset(
    {
        "https://mail.google.com/",
        "https://www.googleapis.com/auth/gmail.modify",
        "https://www.googleapis.com/auth/gmail.readonly",
        "https://www.googleapis.com/auth/gmail.settings.basic",
    }
)
_MOST = 200  # Gmail itself ends at 99


@dataclass(frozen=True)
class ListedSender:
    """An address under "Send mail as"; one that was not confirmed is replaced by the account's own."""

    address: str
    is_allowed: bool


def may_read_senders(granted: frozenset[str]) -> bool:
    """Whether what was granted for sending lets them be read as well; nothing more is ever asked for."""
    return not _READING.isdisjoint(granted)


def read_senders(https: HTTPS, *, api_url: str, access_token: AccessToken) -> tuple[ListedSender, ...]:
    """In Gmail's order. `api_url` is without path. Raises TransportError, also of an answer that is no such list."""
    calls = APICalls(https, access_token=access_token, rules=RULES)
    url = f"{api_url.rstrip('/')}/gmail/v1/users/me/settings/sendAs"
    answer = calls.ask(APIRequest(method="GET", url=url))
    if isinstance(answer, Problem):
        raise calls.error(answer)
    listed = tuple(sender for sender in map(_sender, _entries(answer)[:_MOST]) if sender is not None)
    if not listed:  # Gmail always names the account's own address
        reply = Reply(answer.status, "an answer that lists no addresses")
        raise TransientError(Step.MAILBOX, code="http.unexpected_answer", reply=reply)
    return listed


def _entries(answer: Answer) -> list[object]:
    """What stands in the list, nothing where the answer holds none."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        body = None
    entries = body.get("sendAs") if isinstance(body, dict) else None
    return entries if isinstance(entries, list) else []


def _sender(entry: object) -> ListedSender | None:
    """None for what is no address; the account's own address has no status of its own."""
    address = entry.get("sendAsEmail") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(address, str) or not same_address_key(address):
        return None
    return ListedSender(address, entry.get("isPrimary") is True or entry.get("verificationStatus") == "accepted")
