"""What a refusing reply means for the message, its recipient, its sender or the whole way out.

The first digit alone does not say: a wrong password is 535, a daily limit 550, a lost permission 554 after the
message. The first rule that fits wins: step, codes, enhanced status codes, words.
Sources: RFC 5321 4.2, RFC 3463, RFC 4954 6; Postfix `smtp_sasl_auth_soft_bounce`; Google "SMTP error reference";
Microsoft "NDR error codes in Exchange Online".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from portal.transports import (
    ConnectionFault,
    PermanentError,
    QuotaReached,
    Reply,
    SenderRefused,
    Step,
    TransientError,
    TransportError,
)

_SOON = timedelta(minutes=15)
_DAILY = timedelta(hours=1)  # a window of a day is asked again once an hour


class Fate(Enum):
    """Whom a refusal concerns, and whether for good."""

    LATER = "later"  # this message or recipient, for now
    NEVER = "never"  # this message or recipient, for good
    SENDER = "sender"
    WAY_OUT = "way_out"
    QUOTA = "quota"


@dataclass(frozen=True)
class Refusal:
    """`retry_after` is zero except for QUOTA."""

    fate: Fate
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True)
class _Rule:
    """Fits when every part that is given fits; `codes` and `enhanced` are sets of beginnings."""

    refusal: Refusal
    steps: frozenset[Step] = frozenset()
    codes: tuple[str, ...] = ()
    enhanced: tuple[str, ...] = ()  # without the class: "7.30" fits 4.7.30 and 5.7.30
    words: re.Pattern[str] | None = None
    is_anonymous: bool = False  # only in a session that has not signed in

    def fits(self, step: Step, reply: Reply, *, is_signed_in: bool) -> bool:
        return (
            (not self.steps or step in self.steps)
            and (not self.codes or str(reply.code).startswith(self.codes))
            and (not self.enhanced or _detail(reply) in self.enhanced)
            and (self.words is None or self.words.search(reply.text) is not None)
            and not (self.is_anonymous and is_signed_in)
        )


def _detail(reply: Reply) -> str:
    return (reply.enhanced_status_code or "")[2:]


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_LATER, _NEVER = Refusal(Fate.LATER), Refusal(Fate.NEVER)
_SENDER, _WAY_OUT = Refusal(Fate.SENDER), Refusal(Fate.WAY_OUT)
_REST, _REST_LONG = Refusal(Fate.QUOTA, _SOON), Refusal(Fate.QUOTA, _DAILY)

_OPENING = frozenset({Step.CONNECT, Step.GREETING, Step.CAPABILITIES, Step.TLS, Step.AUTHENTICATE})
_MESSAGE = frozenset({Step.SENDER, Step.DATA, Step.CONTENT})  # where a quota of ours, not a mailbox's, is named
_NOT_OPENING = _MESSAGE | {Step.RECIPIENT}

_QUOTAS = (
    _Rule(_REST_LONG, enhanced=("4.5",), codes=("5",)),
    _Rule(_REST_LONG, enhanced=("7.232", "7.233")),
    _Rule(
        _REST_LONG,
        words=_words(r"SubmissionQuotaExceeded", r"daily (user |smtp relay |message |sending )*(limit|quota)"),
    ),
    _Rule(_REST, codes=("432",), enhanced=("3.2",)),
    _Rule(_REST, codes=("432",), words=_words(r"concurrent connections", r"thread limit")),
    _Rule(_REST, codes=("421",), enhanced=("7.0",)),
    _Rule(_REST, codes=("421",), words=_words(r"submission rate")),
    _Rule(_REST, codes=("450",), enhanced=("2.1",), steps=_MESSAGE),
    _Rule(_REST, codes=("450",), enhanced=("2.1",), words=_words(r"relay limit", r"sending (limit|rate)")),
    _Rule(_REST, codes=("454",), enhanced=("7.0",), steps=frozenset({Step.AUTHENTICATE})),
    _Rule(
        _REST,
        codes=("4",),
        steps=_MESSAGE | {Step.AUTHENTICATE},
        words=_words(
            r"throttl",
            r"rate[ -]?limit",
            r"(sending|submission|message|recipient) rate",
            r"(quota|credits) exceeded",
            r"too (much mail|many (connections|messages|login))",
        ),
    ),
    _Rule(_REST, codes=("5",), enhanced=("2.0",), steps=_MESSAGE, words=_words(r"quota", r"limit")),
)

_PASSING = (
    # One session out of step is no fault of the message: the next one begins afresh.
    _Rule(_LATER, codes=("503",), steps=_NOT_OPENING),
    _Rule(_LATER, codes=("452", "552"), enhanced=("5.3",), steps=frozenset({Step.RECIPIENT})),
    _Rule(_LATER, codes=("452", "552"), steps=frozenset({Step.RECIPIENT}), words=_words(r"too many recipients")),
)

_SENDERS = (
    _Rule(_SENDER, codes=("5",), enhanced=("7.60", "2.252", "1.7", "1.8", "7.26"), steps=_NOT_OPENING),
    _Rule(
        _SENDER,
        codes=("5",),
        steps=_NOT_OPENING,
        words=_words(r"SendAsDenied", r"permissions? to send as", r"sender address rejected", r"not owned by user"),
    ),
)

_WAYS_OUT = (
    _Rule(_WAY_OUT, codes=("5",), steps=_OPENING),
    _Rule(_WAY_OUT, codes=("530", "534", "535", "538")),
    _Rule(
        _WAY_OUT,
        codes=("5",),
        enhanced=(
            *("7.30", "7.57", "7.139", "7.64", "7.68"),  # sign-in, connector, direct send
            *("7.501", "7.502", "7.503", "7.511", "7.705", "7.708", "7.750"),  # account or tenant banned
        ),
        steps=_NOT_OPENING,
    ),
    _Rule(
        _WAY_OUT,
        codes=("5",),
        steps=_NOT_OPENING,
        words=_words(
            r"client host\b.{0,80}\b(blocked|rejected|refused)",
            r"mail relay denied",
            r"invalid credentials for relay",
        ),
    ),
    _Rule(
        _WAY_OUT,
        codes=("5",),
        steps=frozenset({Step.RECIPIENT}),
        words=_words(
            r"relay(ing)? (access )?(is )?(denied|prohibited)",
            r"unable to relay",
            r"relay(ing)? (is )?not (allowed|permitted)",
            r"not permitted to relay",
            r"(do not|don't|will not) relay",
            r"auth(entication)? (is )?required",
        ),
        is_anonymous=True,
    ),
)

_AT_MAIL = frozenset({Step.SENDER})
_MAILS = (
    _Rule(_NEVER, codes=("552",), steps=_AT_MAIL),
    _Rule(_NEVER, codes=("5",), enhanced=("3.4", "2.3", "6.7"), steps=_AT_MAIL),
    _Rule(_NEVER, codes=("501", "504", "555"), steps=_AT_MAIL),
    _Rule(_WAY_OUT, codes=("500", "502"), steps=_AT_MAIL),
    # MAIL names nothing but the sender: whatever else is refused there is refused for it.
    _Rule(_SENDER, codes=("5",), steps=_AT_MAIL),
)

_FOR_GOOD = (*_PASSING, *_SENDERS, *_WAYS_OUT, *_MAILS)


def judge(step: Step, reply: Reply, *, is_signed_in: bool) -> Refusal:
    """What a reply of 400 to 599 at this step means.

    A 5xx that carries a 4.x.x status, or a 4xx that carries a 5.x.x, is passing: one of the two says so.
    """
    quota = _first(_QUOTAS, step, reply, is_signed_in=is_signed_in)
    if quota is not None:
        return quota
    if step is Step.TLS and reply.code != 421:
        # Without the STARTTLS that was asked for nothing may be said, for whatever reason it is refused.
        return _WAY_OUT
    if reply.code < 500 or (reply.enhanced_status_code or "").startswith("4."):
        return _LATER
    return _first(_FOR_GOOD, step, reply, is_signed_in=is_signed_in) or _NEVER


def as_error(step: Step, reply: Reply, refusal: Refusal, *, code: str) -> TransportError:
    """The error that says so. `code` is the diagnosis' stable name."""
    if refusal.fate is Fate.QUOTA:
        return QuotaReached(step, code=code, reply=reply, retry_after=refusal.retry_after)
    return _ERRORS[refusal.fate](step, code=code, reply=reply)


_ERRORS = {
    Fate.LATER: TransientError,
    Fate.NEVER: PermanentError,
    Fate.SENDER: SenderRefused,
    Fate.WAY_OUT: ConnectionFault,
}


def _first(rules: tuple[_Rule, ...], step: Step, reply: Reply, *, is_signed_in: bool) -> Refusal | None:
    fitting = (rule.refusal for rule in rules if rule.fits(step, reply, is_signed_in=is_signed_in))
    return next(fitting, None)
