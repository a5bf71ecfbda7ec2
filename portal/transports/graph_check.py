"""What Microsoft Graph shows of a connection: what its token may do, and whether the mailbox is there.

Microsoft may change a token's form at any time, so that what cannot be read is no reason to refuse anything.
Sources: learn.microsoft.com, "Access token claims reference", "Get a user", "RBAC for Applications".
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import urlsplit

from portal.mail.addresses import same_address_key
from portal.network.https import HTTPS
from portal.transports import Reply, Step, StepStatus, TransientError
from portal.transports.api_calls import APICalls, APIRequest
from portal.transports.api_check import Look
from portal.transports.diagnosis import Target, diagnose
from portal.transports.graph import RULES, user_url
from portal.transports.http_refusals import Problem
from portal.transports.smtp_blotting import printable
from portal.transports.smtp_findings import Finding, passed
from portal.wording import N_, Text

_GRAPH = "https://graph.microsoft.com"
_GRAPH_APPLICATION = "00000003-0000-0000-c000-000000000000"
_CLOUDS = (".microsoft.com", ".microsoft.us", ".chinacloudapi.cn")
_SENDING = frozenset({"Mail.Send", "Mail.Send.Shared"})
_NOT_READABLE = frozenset({"graph.access_denied", "graph.directory_permission_missing"})
_OF_MAILBOX = frozenset({"graph.mailbox_not_enabled", "graph.sends_as_another", "microsoft.wrong_account"})
_LONGEST = 300


def look_at_permissions(*, graph_url: str, is_app_only: bool, target: Target) -> Look:
    """Judges the token: whether it is for Graph at all, and which permissions it names."""

    def look(token: str) -> Finding:
        claims = claims_of(token)
        if claims is None:
            return _finding(StepStatus.WARN, N_("the access token cannot be read"), "graph.rights_not_visible", target)
        audience = printable(str(claims.get("aud", "")))[:_LONGEST]
        if audience.rstrip("/") not in _audiences(graph_url):
            seen = N_("the access token is for %(audience)s", audience=audience)
            return _finding(StepStatus.FAIL, seen, "graph.wrong_audience", target)
        return _of_application(claims, target) if is_app_only else _of_consent(claims, target)

    return look


def look_at_mailbox(https: HTTPS, *, graph_url: str, mailbox: str, target: Target) -> Look:
    """Looks the mailbox up, "" being whoever gave the consent, who should then be `target.mailbox`."""

    def look(token: str) -> Finding:
        calls = APICalls(https, access_token=lambda _: token, rules=RULES)
        params = {"$select": "id,mail,userPrincipalName"}
        answer = calls.ask(APIRequest(method="GET", url=user_url(graph_url, mailbox), params=params))
        if isinstance(answer, Problem):
            error = calls.error(answer)
            if error.code not in _NOT_READABLE:
                raise error
            return _of_unreadable(str(answer.reply), target)
        try:
            user = answer.json()
        except (ValueError, RecursionError):
            user = None
        if not isinstance(user, dict):
            reply = Reply(answer.status, "an answer that describes no user")
            raise TransientError(Step.MAILBOX, code="http.unexpected_answer", reply=reply)
        return _of_user(user, target)

    return look


def roles_in(claims: dict[str, Any]) -> list[str]:
    """The permissions of an application as its token names them; those that it has in Exchange are in none."""
    roles = claims.get("roles")
    return [role for role in roles if isinstance(role, str)] if isinstance(roles, list) else []


def claims_of(token: str) -> dict[str, Any] | None:
    """What a JSON Web Token says (RFC 7519), its signature unread; None for a token of another form."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _of_application(claims: dict[str, Any], target: Target) -> Finding:
    named = roles_in(claims)
    if "Mail.Send" in named:
        return _finding(StepStatus.WARN, _listed(named), "graph.sends_as_everybody", target)
    seen = N_("the access token names no permission")
    if named:
        seen = N_("%(permissions)s, without Mail.Send", permissions=_listed(named))
    return _finding(StepStatus.WARN, seen, "graph.rights_not_visible", target)


def _of_consent(claims: dict[str, Any], target: Target) -> Finding:
    scopes = str(claims.get("scp", "")).split()
    if _SENDING.isdisjoint(scopes):
        return _finding(StepStatus.FAIL, _listed(scopes), "graph.mail_send_missing", target)
    return passed(_listed(scopes))


def _of_unreadable(seen: str, target: Target) -> Finding:
    is_another = target.mailbox and same_address_key(target.sender) != same_address_key(target.mailbox)
    code = "graph.sends_as_another" if is_another else "graph.mailbox_not_readable"
    return _finding(StepStatus.WARN, seen, code, target)


def _of_user(user: dict[str, Any], target: Target) -> Finding:
    mail, name = (printable(str(user.get(key) or ""))[:_LONGEST] for key in ("mail", "userPrincipalName"))
    seen: Text | str = mail
    if name and mail.lower() != name.lower():
        seen = N_("%(mail)s, signs in as %(name)s", mail=mail or N_("no mail address"), name=name)
    if not mail:
        return _finding(StepStatus.WARN, seen, "graph.mailbox_not_enabled", target)
    wanted, own = same_address_key(target.mailbox), {same_address_key(mail), same_address_key(name)}
    # Another address of the same mailbox is as good, and which those are is not told.
    if wanted and wanted not in own:
        return _finding(StepStatus.WARN, seen, "microsoft.wrong_account", target)
    if same_address_key(target.sender) not in own:
        seen = N_("%(account)s; the From address is %(sender)s", account=seen, sender=target.sender)
        return _finding(StepStatus.WARN, seen, "graph.sends_as_another", target)
    return passed(seen)


def _audiences(graph_url: str) -> set[str]:
    """Who a token for this Graph may be for. Stand-ins get tokens for the public cloud's."""
    own = graph_url.rstrip("/")
    is_cloud = (urlsplit(own).hostname or "").endswith(_CLOUDS)
    return {own, _GRAPH_APPLICATION} if is_cloud else {own, _GRAPH_APPLICATION, _GRAPH}


def _listed(permissions: list[str]) -> Text | str:
    return printable(", ".join(permissions))[:_LONGEST] or N_("no permission")


def _finding(status: StepStatus, seen: Text | str, code: str, target: Target) -> Finding:
    step = Step.MAILBOX if code in _OF_MAILBOX else Step.PERMISSIONS
    return Finding(status, seen, diagnose(step, code=code, target=target))
