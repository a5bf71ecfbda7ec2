"""What an HTTP answer of a mail service means for the message, its sender or the whole way out.

Services name their errors in the body, often several, one inside the other, and the same status stands for opposite
things: a 403 may be a missing permission, a refused sender or a limit. So the names decide, in the order of a table
of the service's own; the status alone only where nothing is named.
Sources: RFC 9110 15 and 10.2.3; learn.microsoft.com, "Microsoft Graph error responses"; cloud.google.com, "Errors".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from portal.network.https import HTTPSError
from portal.transports import ConnectionFault, Reply, Step, TransientError, TransportError
from portal.transports.refusals import Fate, Refusal, as_error
from portal.transports.smtp_blotting import readable

SHORTEST_REST = timedelta(seconds=1)
LONGEST_REST = timedelta(hours=1)
_USUAL_REST = timedelta(minutes=1)
_LONGEST_TEXT = 1000
_NAMES = ("code", "reason", "status")
_MOST_NAMES = 20
_DEEPEST = 8
_CHALLENGE = re.compile(r'\berror="?([a-z_]+)', re.IGNORECASE)
_RETRY_AFTER_TIME = re.compile(r"retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z)", re.IGNORECASE | re.ASCII)


class HTTPAnswer(Protocol):
    """As `portal.network.https.Answer`."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> bytes: ...

    def json(self) -> Any:
        """Raises ValueError where the content is no JSON."""


@dataclass(frozen=True)
class Problem:
    """What an answer of 400 and more says. `names` are in lower case, the outermost first."""

    status: int
    names: tuple[str, ...]
    text: str  # in the service's words: "ErrorSendAsDenied: The user account …", at most 1,000 characters
    retry_after: timedelta | None = None
    is_json: bool = True  # otherwise a proxy or another machine in between may have answered

    @property
    def reply(self) -> Reply:
        return Reply(self.status, self.text)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Fits when every part that is given fits; the first rule that fits decides."""

    fate: Fate
    step: Step
    code: str
    statuses: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()  # any of them, in lower case
    words: re.Pattern[str] | None = None
    rest: timedelta = _USUAL_REST  # for QUOTA, where the answer names no time

    def fits(self, problem: Problem) -> bool:
        return (
            (not self.statuses or problem.status in self.statuses)
            and (not self.names or not self.names.isdisjoint(problem.names))
            and (self.words is None or self.words.search(problem.text) is not None)
        )


def names(*spellings: str) -> frozenset[str]:
    """Names of errors as the service writes them, fit for a rule."""
    return frozenset(name.lower() for name in spellings)


def words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


def read_problem(answer: HTTPAnswer, *, now: datetime, secrets: tuple[str, ...] = ()) -> Problem:
    """What went wrong, in the service's names and words; `secrets` are blotted out of them."""
    body = _json(answer)
    found = list(_named(body))[:_MOST_NAMES]
    challenge = _CHALLENGE.search(answer.headers.get("WWW-Authenticate", ""))
    if challenge:
        found.append(challenge[1])
    said = _message(body)
    text = readable(": ".join(filter(None, (found[0] if found else "", said))).encode("utf-8", "replace"), secrets)
    return Problem(
        answer.status,
        tuple(name.lower() for name in found),
        (text or _without_words(answer))[:_LONGEST_TEXT],
        retry_after=_retry_after(answer.headers.get("Retry-After", ""), said, now=now),
        is_json=isinstance(body, dict),
    )


def refusal(problem: Problem, rules: tuple[Rule, ...]) -> TransportError:
    """The error for a refusing answer. The last of `rules` must fit everything."""
    if not problem.is_json and problem.status in range(400, 500) and problem.status not in _SAY_ENOUGH:
        # A page of something in between must not fail a message for good, nor accuse a password.
        return TransientError(Step.CONNECT, code="http.unexpected_answer", reply=problem.reply)
    rule = next(rule for rule in rules if rule.fits(problem))
    fate, rest = rule.fate, problem.retry_after or rule.rest
    if fate is Fate.LATER and problem.status == 503 and problem.retry_after:
        fate = Fate.QUOTA  # the service itself says how long to leave it alone
    return as_error(
        rule.step, problem.reply, Refusal(fate, rest if fate is Fate.QUOTA else timedelta(0)), code=rule.code
    )


_SAY_ENOUGH = frozenset({401, 408, 413, 429})


def as_transport_error(fault: HTTPSError) -> TransportError:
    """The error for a request that surely was not handed over; the way out's fault where somebody must act."""
    kind = TransientError if fault.code in _PASSING else ConnectionFault
    return kind(_step_of(fault.code), code=fault.code, seen=fault.seen)


_PASSING = frozenset(
    {
        *("network.resolve_failed", "network.connection_refused", "network.connect_timeout", "network.unreachable"),
        *("network.connection_lost", "network.silence", "network.too_slow", "tls.handshake_failed"),
        *("http.answer_too_large", "http.unreadable_answer"),
    }
)


def _step_of(code: str) -> Step:
    if code in {"network.name_not_found", "network.resolve_failed"}:
        return Step.RESOLVE
    return Step.TLS if code.startswith("tls.") else Step.CONNECT


def retry_after(value: str, *, now: datetime) -> timedelta | None:
    """A Retry-After header (RFC 9110 10.2.3), held between a second and an hour; None where it says nothing."""
    value = value.strip()
    try:
        if re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", value):
            return _held(timedelta(seconds=float(value)))
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return _held((at if at.tzinfo else at.replace(tzinfo=UTC)) - now)


def _retry_after(header: str, said: str, *, now: datetime) -> timedelta | None:
    """Gmail writes the time of a daily limit into its sentence."""
    named = _RETRY_AFTER_TIME.search(said)
    try:
        return _held(datetime.fromisoformat(named[1]) - now) if named else retry_after(header, now=now)
    except ValueError:
        return retry_after(header, now=now)


def _held(rest: timedelta) -> timedelta:
    return min(max(rest, SHORTEST_REST), LONGEST_REST)


def _json(answer: HTTPAnswer) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _named(body: Any, depth: int = 0) -> Iterator[str]:
    """Texts under the keys that services put names in, wherever they stand, the outermost first."""
    if isinstance(body, dict) and depth < _DEEPEST:
        if depth == 0 and isinstance(body.get("error"), str):
            yield body["error"]
        for key in _NAMES:
            if isinstance(body.get(key), str):
                yield body[key][:100]
        for value in body.values():
            yield from _named(value, depth + 1)
    elif isinstance(body, list) and depth < _DEEPEST:
        for value in body[:_MOST_NAMES]:
            yield from _named(value, depth + 1)


def _message(body: Any) -> str:
    """As APIs write it, or as RFC 6749 5.2 does."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error and body.get("error_description")
    return message[:_LONGEST_TEXT] if isinstance(message, str) else ""


def _without_words(answer: HTTPAnswer) -> str:
    """What is shown of an answer that is not the service's: its kind, never its text."""
    content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    return f"an answer without an error's name ({readable(content_type.encode(), ()) or 'no content type'})"
