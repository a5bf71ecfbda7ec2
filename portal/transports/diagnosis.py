"""From a reply or an exception to a cause, the people who can act, and a remedy.

The answer comes from a table (`diagnosis_rows`). What no row knows gets the general advice of its step; the
server's own words are the caller's to show.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from portal.network.errors import HostRefused
from portal.transports import Diagnosis, Reply, Step, TransportError
from portal.transports.diagnosis_errors import code_of
from portal.transports.diagnosis_rows import ROWS
from portal.transports.diagnosis_rows.conversation import GENERAL
from portal.transports.diagnosis_rows.row import Provider, Row, Said, When
from portal.wording import Text


@dataclass(frozen=True)
class Target:
    """The connection that something happened on, as far as advice needs it. Unknown texts are empty."""

    host: str
    port: int
    security: str
    auth: str
    username: str
    sender: str  # "" is the null reverse-path
    auth_offered: bool | None = None  # whether the server's EHLO offered any AUTH; None: not known
    mailbox: str = ""  # whom an OAuth or app-only connection sends as
    client_id: str = ""  # of the application that is registered at the provider
    tenant: str = ""


def api_target(url: str, *, mailbox: str, client_id: str = "", tenant: str = "", sender: str = "") -> Target:
    """A connection by a provider's API, reached at `url`; `sender` is the From address where it is another one."""
    parts = urlsplit(url)
    return Target(
        host=parts.hostname or "",
        port=parts.port or 443,
        security="https",
        auth="access_token",
        username=mailbox,
        sender=sender or mailbox,
        mailbox=mailbox,
        client_id=client_id,
        tenant=tenant,
    )


def diagnose(
    step: Step,
    *,
    reply: Reply | None = None,
    error: BaseException | None = None,
    code: str | None = None,
    target: Target,
) -> Diagnosis:
    """The advice for what happened at a step: by the code given, else the exception, else the reply.

    Raises ValueError for a code that is not in the table.
    """
    if isinstance(error, TransportError):
        reply = reply or error.reply
    if reply is not None and reply.code == 0:
        reply = None
    if code is None and error is not None:
        code = code_of(error, step, port=target.port, security=target.security)
    row = matching_row(step, reply, target) if code is None and reply is not None else None
    row = row or _row_of(code or GENERAL[step], step, reply, target)
    values = _values(target)
    cause = error.reason if isinstance(error, HostRefused) else _filled(row.cause, values)
    return Diagnosis(row.code, cause, _filled(row.who, values), _filled(row.remedy, values))


def all_codes() -> tuple[tuple[str, str], ...]:
    """Every code in alphabetical order with the general wording of its cause, a template in %-format."""
    return tuple((code, rows[-1].cause.template) for code, rows in sorted(_BY_CODE.items()))


def matching_row(step: Step, reply: Reply, target: Target) -> Row | None:
    """The first row of the table that knows the reply; None where none does."""
    return next(_rows_that_fit(ROWS, step, reply, target), None)


_BY_CODE: Mapping[str, list[Row]] = defaultdict(list)
for _row in ROWS:
    _BY_CODE[_row.code].append(_row)


def _row_of(code: str, step: Step, reply: Reply | None, target: Target) -> Row:
    if code not in _BY_CODE:
        raise ValueError(f"there is no diagnosis {code!r}")
    rows, provider = _BY_CODE[code], _provider(target.host, reply)
    for_this_reply = next(_rows_that_fit(rows, step, reply, target), None) if reply is not None else None
    for_this_target = (row for row in rows if row.when != When() and _is_so(row.when, target, provider))
    return for_this_reply or next(for_this_target, rows[-1])


def _rows_that_fit(rows: Iterable[Row], step: Step, reply: Reply, target: Target) -> Iterator[Row]:
    provider, status = _provider(target.host, reply), _spellings(reply)
    for row in rows:
        if any(_was_said(said, step, reply, status) for said in row.said) and _is_so(row.when, target, provider):
            yield row


def _is_so(when: When, target: Target, provider: Provider) -> bool:
    return (
        when.provider in {None, provider}
        and (not when.security or target.security in when.security)
        and when.signs_in in {None, target.auth != "none"}
        and when.signs_in_with_token in {None, target.auth in _TOKEN_MECHANISMS}
        and when.is_auth_offered in {None, target.auth_offered}
    )


def _was_said(said: Said, step: Step, reply: Reply, status: set[str]) -> bool:
    return (
        reply.code in said.codes
        and step in said.steps
        and (not said.enhanced or not status.isdisjoint(said.enhanced))
        and (said.token is None or said.token.search(reply.text) is not None)
    )


_TOKEN_MECHANISMS = {"oauthbearer", "xoauth2"}
_ENHANCED = re.compile(r"([245])(\.\d{1,3}\.\d{1,3})(?!\d)")


def _spellings(reply: Reply) -> set[str]:
    """The enhanced status code as it came and with `x` for its class; empty where there was none."""
    found = _ENHANCED.match(reply.enhanced_status_code or reply.text.lstrip())
    return {found[0], "x" + found[2]} if found else set()


_HOSTS = {
    Provider.GOOGLE: ("gmail.com", "googlemail.com", "google.com"),
    Provider.MICROSOFT: ("office365.com", "office365.us", "outlook.com", "outlook.cn", "mx.microsoft"),
}
# Marks that servers put into replies themselves; a recipient's address in a reply never looks like them.
_MARKS = {
    Provider.GOOGLE: re.compile(r"\bgsmtp\b|//support\.google\.com/"),
    Provider.MICROSOFT: re.compile(
        r"\.prod\.(outlook|exchangelabs)\.com|\.protection\.outlook\.com\b|STOREDRV|SmtpClientAuthentication"
        r"|TenantAttribution"
    ),
}
_MICROSOFT_STATUS_CODES = {"x.7.57", "x.7.139"}


def _provider(host: str, reply: Reply | None) -> Provider:
    name = "." + host.lower().rstrip(".")
    for provider, domains in _HOSTS.items():
        if name.endswith(tuple("." + domain for domain in domains)):
            return provider
    if reply is not None:
        for provider, mark in _MARKS.items():
            if mark.search(reply.text):
                return provider
        if not _spellings(reply).isdisjoint(_MICROSOFT_STATUS_CODES):
            return Provider.MICROSOFT
    return Provider.OTHER


def _values(target: Target) -> dict[str, str | int]:
    mailbox = target.mailbox or (target.username if "@" in target.username else target.sender or target.username)
    return {
        "host": target.host,
        "host_argument": shlex.quote(target.host),
        "port": target.port,
        "username": target.username or "–",
        "sender": target.sender or "<>",
        "sender_argument": _powershell_argument(target.sender),
        "domain": target.sender.rpartition("@")[2] or target.host,
        "mailbox": mailbox or "–",
        "mailbox_argument": _powershell_argument(mailbox),
        "mailbox_filter": _powershell_argument(f"PrimarySmtpAddress -eq {_quoted(mailbox)}"),
        "client_id": target.client_id or "–",
        "client_id_argument": _powershell_argument(target.client_id),
        "google_project": _google_project(target.client_id),
        "tenant": target.tenant or "–",
    }


def _google_project(client_id: str) -> str:
    """The number of the project that a Google client ID begins with; "" in another, for which Google then asks."""
    number = re.match(r"([0-9]{6,20})-", client_id)
    return number[1] if number else ""


def _powershell_argument(text: str) -> str:
    """One word for PowerShell, which also takes typographic quotation marks for quotation marks."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._%+@-]*", text):
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    return "'" + re.sub("(['‘’‚‛])", r"\1\1", " ".join(text.split())) + "'"


def _filled(text: Text, values: Mapping[str, str | int]) -> Text:
    return Text(text.template, {name: values[name] for name in _NAMES.findall(text.template)})


_NAMES = re.compile(r"%\((\w+)\)s")
