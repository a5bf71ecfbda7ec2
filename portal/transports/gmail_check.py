"""What Google shows of a connection by the Gmail API: what was agreed to, and who agreed.

The permission to send opens nothing else, so whether Gmail will take a message is seen only by sending one.
Sources: developers.google.com, "OAuth 2.0 scopes for Google APIs", "OpenID Connect"; Gmail API, "Choose scopes".
"""

from __future__ import annotations

from portal.mail.addresses import same_address_key
from portal.network.https import HTTPS
from portal.transports import AccessToken, Reply, Step, StepStatus, TransientError, TransportError
from portal.transports.api_calls import APICalls, APIRequest
from portal.transports.api_check import Look
from portal.transports.diagnosis import Target, diagnose
from portal.transports.gmail import RULES
from portal.transports.gmail_senders import may_read_senders, read_senders
from portal.transports.http_refusals import Problem
from portal.transports.smtp_blotting import printable
from portal.transports.smtp_findings import Finding, passed
from portal.wording import N_

_SENDING = frozenset(
    {
        "https://www.googleapis.com/auth/gmail.send",
        "https://www.googleapis.com/auth/gmail.compose",
        "https://www.googleapis.com/auth/gmail.modify",
        "https://mail.google.com/",
    }
)
_IDENTITY = frozenset({"email", "https://www.googleapis.com/auth/userinfo.email"})
_LONGEST = 300


def look_at_permissions(*, granted: frozenset[str], target: Target) -> Look:
    """Judges the scopes that Google listed when it gave the grant: people may untick single ones."""

    def look(_: str) -> Finding:
        seen = printable(", ".join(sorted(granted)))[:_LONGEST] or N_("no scope")
        if _SENDING.isdisjoint(granted):
            advice = diagnose(Step.PERMISSIONS, code="google.scope_missing", target=target)
            return Finding(StepStatus.FAIL, seen, advice)
        return passed(seen)

    return look


def look_at_mailbox(https: HTTPS, *, userinfo_url: str, api_url: str, granted: frozenset[str], target: Target) -> Look:
    """Asks whose token it is; that must be `target.mailbox`. A service account's token does not tell.

    Whether another From address is an alias of it is asked as well, where the token happens to be good for that.
    """

    def look(token: str) -> Finding:
        if _IDENTITY.isdisjoint(granted):
            seen = N_("the access token does not tell whose it is; a test message shows it")
            return Finding(StepStatus.WARN, seen)
        email = _account_of(https, userinfo_url, token)
        key = same_address_key(email)
        if key != same_address_key(target.mailbox):
            return Finding(StepStatus.FAIL, email, diagnose(Step.MAILBOX, code="google.wrong_account", target=target))
        if key == same_address_key(target.sender):
            return passed(email)
        opens_list = may_read_senders(granted)
        is_alias = opens_list and _is_alias(https, target.sender, api_url=api_url, access_token=lambda _: token)
        return _of_another_sender(email, target, is_alias=is_alias)

    return look


def _account_of(https: HTTPS, userinfo_url: str, token: str) -> str:
    calls = APICalls(https, access_token=lambda _: token, rules=RULES)
    answer = calls.ask(APIRequest(method="GET", url=userinfo_url))
    if isinstance(answer, Problem):
        raise calls.error(answer)
    try:
        person = answer.json()
    except (ValueError, RecursionError):
        person = None
    email = person.get("email") if isinstance(person, dict) else None
    if not isinstance(email, str):
        reply = Reply(answer.status, "an answer that names no address")
        raise TransientError(Step.MAILBOX, code="http.unexpected_answer", reply=reply)
    return printable(email)[:_LONGEST]


def _is_alias(https: HTTPS, sender: str, *, api_url: str, access_token: AccessToken) -> bool:
    """Whether Gmail lists it as confirmed. A list that does not come is no fault: sending needs none."""
    try:
        listed = read_senders(https, api_url=api_url, access_token=access_token)
    except TransportError:
        return False
    return same_address_key(sender) in {same_address_key(one.address) for one in listed if one.is_allowed}


def _of_another_sender(email: str, target: Target, *, is_alias: bool) -> Finding:
    if is_alias:
        return passed(
            N_(
                "%(account)s; the From address %(sender)s is a confirmed alias of it",
                account=email,
                sender=target.sender,
            )
        )
    seen = N_("%(account)s; the From address is %(sender)s", account=email, sender=target.sender)
    return Finding(StepStatus.WARN, seen, diagnose(Step.MAILBOX, code="gmail.from_rewritten", target=target))
