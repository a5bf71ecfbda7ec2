"""What a refusal means goes by step, status code and words, never by the first digit alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portal.mail.status_codes import split_status_code
from portal.transports import Reply, Step
from portal.transports.refusals import Fate, Refusal, judge

SOON, DAILY = timedelta(minutes=15), timedelta(hours=1)
OPENING = (Step.GREETING, Step.CAPABILITIES, Step.AUTHENTICATE)
TRANSACTION = (Step.SENDER, Step.RECIPIENT, Step.DATA, Step.CONTENT)


def reply(said: str) -> Reply:
    code, _, rest = said.partition(" ")
    status_code, text = split_status_code(rest)
    return Reply(int(code), text, status_code)


def fate(step: Step, said: str, *, is_signed_in: bool = True) -> Fate:
    return judge(step, reply(said), is_signed_in=is_signed_in).fate


@pytest.mark.parametrize(
    ("step", "code", "expected"),
    [
        *((step, 421, Fate.LATER) for step in (*OPENING, Step.TLS, *TRANSACTION)),
        *((step, 450, Fate.LATER) for step in (*OPENING, *TRANSACTION)),
        *((step, 554, Fate.WAY_OUT) for step in (*OPENING, Step.TLS)),
        (Step.TLS, 454, Fate.WAY_OUT),
        (Step.SENDER, 554, Fate.SENDER),
        *((step, 554, Fate.NEVER) for step in (Step.RECIPIENT, Step.DATA, Step.CONTENT)),
    ],
)
def test_a_bare_code_is_judged_by_its_step(step: Step, code: int, expected: Fate) -> None:
    assert fate(step, str(code)) is expected


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", SOON),
        ("432 4.3.2 Concurrent connections limit exceeded", SOON),
        ("421 4.7.0 Try again later, closing connection.", SOON),
        ("421 4.4.2 Message submission rate for this client has exceeded the configured limit", SOON),
        ("450 4.2.1 Peak SMTP relay limit exceeded for customer.", SOON),
        ("454 Throttling failure: Maximum sending rate exceeded.", SOON),
        ("550 5.4.5 Daily user sending limit exceeded.", DAILY),
        ("550 5.4.5 Daily SMTP relay limit exceeded for user.", DAILY),
        ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", DAILY),
        ("550 5.7.233 tenant external recipient rate limit", DAILY),
        ("554 5.2.0 message rate limit of this mailbox is used up", SOON),
    ],
)
@pytest.mark.parametrize("step", [Step.SENDER, Step.DATA, Step.CONTENT])
def test_a_quota_lets_the_way_out_rest(step: Step, said: str, after: timedelta) -> None:
    assert judge(step, reply(said), is_signed_in=True) == Refusal(Fate.QUOTA, after)


def test_a_throttled_sign_in_rests_too() -> None:
    refusal = judge(Step.AUTHENTICATE, reply("454 4.7.0 Too many login attempts"), is_signed_in=False)

    assert refusal == Refusal(Fate.QUOTA, SOON)


@pytest.mark.parametrize(
    ("step", "said", "expected"),
    [
        (Step.RECIPIENT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly", Fate.LATER),
        (Step.RECIPIENT, "452 4.2.2 The recipient's inbox is out of storage space, over quota", Fate.LATER),
        (Step.RECIPIENT, "552 5.2.2 mailbox is over quota", Fate.NEVER),
        (Step.CONTENT, "421 4.4.2 timeout exceeded", Fate.LATER),
        (Step.CONTENT, "451 4.7.500 Server busy", Fate.LATER),
        (Step.TLS, "454 4.7.0 TLS not available", Fate.WAY_OUT),
    ],
)
def test_what_sounds_like_a_quota_of_ours_but_is_none(step: Step, said: str, expected: Fate) -> None:
    assert fate(step, said) is expected


@pytest.mark.parametrize("step", TRANSACTION)
@pytest.mark.parametrize(
    "said",
    [
        "530 5.7.0 Must issue a STARTTLS command first",
        "530 5.7.57 Client not authenticated to send mail",
        "535 5.7.3 Authentication unsuccessful",
        "534 5.7.9 Application-specific password required",
        "538 5.7.11 Encryption required",
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        "550 5.7.64 TenantAttribution; Relay Access Denied",
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization",
        "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.",
        "550 5.7.501 Service unavailable. Access denied, spam abuse detected",
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
        "550 5.7.0 Mail relay denied [192.0.2.1]",
    ],
)
def test_a_fault_of_the_way_out_fails_no_message_at_any_step(step: Step, said: str) -> None:
    assert fate(step, said) is Fate.WAY_OUT


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step.SENDER, "550 5.7.1 no"),
        (Step.SENDER, "553 sender not allowed"),
        (Step.SENDER, "501 5.1.7 bad sender address"),
        (Step.RECIPIENT, "553 5.7.1 <portal@contoso.test>: Sender address rejected: not owned by user relay"),
        (Step.CONTENT, "554 5.2.252 SendAsDenied; a@x not allowed to send as b@x"),
        (Step.CONTENT, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"),
        (Step.CONTENT, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        (Step.CONTENT, "550 5.1.8 Access denied, bad outbound sender"),
        (Step.CONTENT, "550 5.7.26 This mail is unauthenticated"),
    ],
)
def test_a_refused_sender_is_told_from_a_refused_message(step: Step, said: str) -> None:
    assert fate(step, said) is Fate.SENDER


@pytest.mark.parametrize(
    "said",
    [
        "550 5.7.1 Unable to relay",
        "554 5.7.1 <x@fabrikam.test>: Relay access denied",
        "550 relaying denied",
        "550 5.7.1 relay not permitted",
        "554 we do not relay",
        "550 5.7.1 Authentication required",
    ],
)
def test_relaying_denied_is_the_way_outs_fault_only_without_a_sign_in(said: str) -> None:
    assert fate(Step.RECIPIENT, said, is_signed_in=False) is Fate.WAY_OUT
    assert fate(Step.RECIPIENT, said, is_signed_in=True) is Fate.NEVER


@pytest.mark.parametrize(
    "said", ["452 4.5.3 too many recipients", "552 5.5.3 Too many recipients", "552 too many recipients", "452 no"]
)
def test_too_many_recipients_are_deferred(said: str) -> None:
    assert fate(Step.RECIPIENT, said) is Fate.LATER


@pytest.mark.parametrize("step", TRANSACTION)
@pytest.mark.parametrize("said", ["550 4.7.1 later", "554 4.2.0 no", "450 5.7.1 no", "451 5.1.1 no"])
def test_a_reply_that_contradicts_itself_is_passing(step: Step, said: str) -> None:
    assert fate(step, said) is Fate.LATER


@pytest.mark.parametrize("step", TRANSACTION)
def test_a_session_out_of_step_is_begun_afresh(step: Step) -> None:
    assert fate(step, "503 5.5.1 bad sequence of commands") is Fate.LATER


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step.SENDER, "552 5.3.4 Message size exceeds fixed limit"),
        (Step.SENDER, "555 5.5.4 unknown parameter"),
        (Step.SENDER, "550 5.6.7 non-ASCII addresses not permitted"),
        (Step.RECIPIENT, "550 5.1.1 no such user"),
        (Step.RECIPIENT, "550 5.7.1 not welcome here"),
        (Step.CONTENT, "550 5.7.1 message looks like spam"),
        (Step.CONTENT, "552 5.3.4 too big"),
    ],
)
def test_the_rest_concerns_this_message_or_recipient(step: Step, said: str) -> None:
    assert fate(step, said) is Fate.NEVER
