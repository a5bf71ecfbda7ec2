"""The addresses that a Gmail account may send as, where its token happens to be good for reading them.

Source: developers.google.com, Gmail API, "users.settings.sendAs".
"""

from __future__ import annotations

from dataclasses import dataclass

from portal.mail.addresses import same_address_key
from portal.network.https import HTTPS
from portal.transports import AccessToken
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
    """In Gmail's order; empty where Gmail does not say. `api_url` is without path. Raises TransportError."""
    calls = APICalls(https, access_token=access_token, rules=RULES)
    url = f"{api_url.rstrip('/')}/gmail/v1/users/me/settings/sendAs"
    answer = calls.ask(APIRequest(method="GET", url=url))
    if isinstance(answer, Problem):
        raise calls.error(answer)
    try:
        body = answer.json()
    except ValueError:
        return ()
    listed = body.get("sendAs") if isinstance(body, dict) else None
    entries = listed[:_MOST] if isinstance(listed, list) else []
    return tuple(sender for sender in map(_sender, entries) if sender is not None)


def _sender(entry: object) -> ListedSender | None:
    """None for what is no address; the account's own address has no status of its own."""
    address = entry.get("sendAsEmail") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(address, str) or not same_address_key(address):
        return None
    return ListedSender(address, entry.get("isPrimary") is True or entry.get("verificationStatus") == "accepted")
