"""The connection check: every step in its order, each fault with its own name, and nothing is ever sent."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from time import monotonic, sleep
from typing import Any

import pytest

from portal.network.policy import MailPolicy
from portal.transports import ConnectionFault, Step, StepResult, StepStatus
from portal.transports.smtp_check import check_smtp
from portal.transports.smtp_settings import Auth, Security
from tests.outside.certificates import Authority, ServerCertificate, self_signed
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import settings_of

ACCOUNTS = {"relay": "geheim-7781"}
SIGN_IN = {"auth": Auth.PASSWORD, "username": "relay", "password": "geheim-7781"}
Check = Callable[..., dict[Step, StepResult]]


@pytest.fixture
def check(policy: MailPolicy) -> Check:
    """Checks a server and returns the results by step."""

    def run(server: SMTPServer, sender: str = "portal@contoso.test", **changes: Any) -> dict[Step, StepResult]:
        results = check_smtp(
            settings_of(server, **changes),
            sender=sender,
            recipient="portal@contoso.test",
            policy=policy,
            on_step=lambda result: None,
            cancelled=lambda: False,
        )
        return {result.step: result for result in results}

    return run


def words(results: dict[Step, StepResult]) -> list[str]:
    return [f"{step} {result.status}" for step, result in results.items()]


def failed(results: dict[Step, StepResult]) -> StepResult:
    [failure] = [result for result in results.values() if result.status is StepStatus.FAIL]
    return failure


def code(result: StepResult) -> str:
    assert result.diagnosis is not None
    return result.diagnosis.code


def test_with_starttls_encryption_comes_after_the_greeting(
    check: Check, authority: Authority, certificate: ServerCertificate
) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls="starttls", certificate=certificate) as server:
        results = check(server, security=Security.STARTTLS, ca_certificate=authority.pem, **SIGN_IN)

        assert words(results) == [
            "settings pass",
            "token skip",
            "resolve pass",
            "connect pass",
            "greeting pass",
            "tls pass",
            "capabilities pass",
            "authenticate pass",
            "sender pass",
            "recipient pass",
            "data pass",
        ]
        assert server.messages == []


def test_with_implicit_tls_encryption_comes_before_the_greeting(
    check: Check, authority: Authority, certificate: ServerCertificate
) -> None:
    with SMTPServer(tls="implicit", certificate=certificate) as server:
        results = check(server, security=Security.IMPLICIT_TLS, ca_certificate=authority.pem)

        assert list(results)[2:6] == [Step.RESOLVE, Step.CONNECT, Step.TLS, Step.GREETING]
        assert {result.status for result in results.values()} == {StepStatus.PASS, StepStatus.SKIP}


def test_each_step_says_what_was_seen(check: Check, authority: Authority, certificate: ServerCertificate) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls="starttls", certificate=certificate) as server:
        results = check(server, security=Security.STARTTLS, ca_certificate=authority.pem, **SIGN_IN)

        seen = {step: str(result.seen) for step, result in results.items()}
        assert seen[Step.SETTINGS] == f"127.0.0.1, port {server.port}, STARTTLS, sign-in as relay"
        assert seen[Step.RESOLVE] == "127.0.0.1"
        assert seen[Step.GREETING] == "mail.contoso.test ESMTP ready"
        assert seen[Step.TLS] == f"TLSv1.3, expires {certificate.expires_at:%Y-%m-%d}"
        assert seen[Step.CAPABILITIES] == (
            "sign-in by PLAIN, LOGIN; messages up to 36 MB; pipelining; international addresses"
        )
        assert seen[Step.AUTHENTICATE] == "signed in as relay"
        assert seen[Step.SENDER] == "250 2.1.0 sender ok"
        assert seen[Step.DATA] == "354 go ahead (nothing was sent)"


def test_the_steps_are_reported_as_they_end(policy: MailPolicy, server: SMTPServer) -> None:
    reported: list[StepResult] = []

    results = check_smtp(
        settings_of(server),
        sender="portal@contoso.test",
        recipient="portal@contoso.test",
        policy=policy,
        on_step=reported.append,
        cancelled=lambda: Step.GREETING in [result.step for result in reported],
    )

    assert tuple(reported) == results
    assert words({result.step: result for result in results})[5:] == [
        "greeting pass",
        "capabilities skip",
        "authenticate skip",
        "sender skip",
        "recipient skip",
        "data skip",
    ]
    assert server.commands == []


def test_a_relay_that_takes_everything_passes_without_a_sign_in(check: Check, server: SMTPServer) -> None:
    results = check(server)

    assert results[Step.AUTHENTICATE].status is StepStatus.PASS
    assert str(results[Step.AUTHENTICATE].seen) == "no sign-in configured"
    assert results[Step.TLS].status is StepStatus.SKIP
    assert results[Step.DATA].status is StepStatus.PASS


def test_the_conversation_ends_without_a_message(check: Check, server: SMTPServer) -> None:
    check(server)
    server.wait_until_idle()

    assert server.commands == [
        "EHLO portal.contoso.test",
        "MAIL FROM:<portal@contoso.test>",
        "RCPT TO:<portal@contoso.test>",
        "DATA",
    ]
    assert server.messages == []


def test_the_transcript_shows_each_step_with_secrets_blotted_out(
    check: Check, authority: Authority, certificate: ServerCertificate
) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls="starttls", certificate=certificate) as server:
        server.on("AUTH", "535 5.7.8 relay:geheim-7781 AHJlbGF5AGdlaGVpbS03Nzgx is wrong")

        results = check(server, security=Security.STARTTLS, ca_certificate=authority.pem, **SIGN_IN)

        assert results[Step.AUTHENTICATE].transcript == (
            "C: AUTH PLAIN ********",
            "S: 535 5.7.8 relay:******** ******** is wrong",
        )
        assert results[Step.GREETING].transcript == ("S: 220 mail.contoso.test ESMTP ready",)
        assert "geheim" not in repr(results)


def test_the_answers_to_a_login_are_blotted_out_too(check: Check) -> None:
    with SMTPServer(accounts=ACCOUNTS, mechanisms=("LOGIN",)) as server:
        results = check(server, **SIGN_IN)

        assert results[Step.AUTHENTICATE].transcript == (
            "C: AUTH LOGIN",
            "S: 334 VXNlcm5hbWU6",
            "C: ********",
            "S: 334 UGFzc3dvcmQ6",
            "C: ********",
            "S: 235 2.7.0 signed in",
        )


def test_an_endless_answer_does_not_swell_the_transcript(check: Check, server: SMTPServer) -> None:
    server.on("CONNECT", flood=b"220-" + b"x" * 400 + b"\r\n")

    results = check(server)

    lines = results[Step.GREETING].transcript
    assert code(results[Step.GREETING]) == "smtp.endless_reply"
    assert len(lines) <= 200
    assert max(map(len, lines)) <= 300


@pytest.mark.parametrize(
    ("verb", "reply", "step", "expected"),
    [
        ("CONNECT", "554 5.7.1 blocked using a block list", Step.GREETING, "smtp.address_blocklisted"),
        ("CONNECT", "421 4.3.2 too busy", Step.GREETING, "smtp.server_busy"),
        ("EHLO", "501 5.5.4 Invalid EHLO", Step.CAPABILITIES, "smtp.ehlo_name_refused"),
        ("MAIL", "550 5.7.60 Client does not have permissions to send as this sender", Step.SENDER, None),
        ("MAIL", "553 5.7.1 sender address rejected", Step.SENDER, "smtp.sender_refused"),
        ("RCPT", "554 5.7.1 Relay access denied", Step.RECIPIENT, "smtp.relaying_denied"),
        ("RCPT", "451 4.7.1 Greylisting in action, please come back later", Step.RECIPIENT, "smtp.greylisted"),
        ("RCPT", "550 5.1.1 no such user", Step.RECIPIENT, "smtp.recipient_unknown"),
        ("DATA", "554 5.3.0 not now", Step.DATA, "smtp.data_refused"),
    ],
)
def test_each_refusal_ends_the_check_with_its_own_answer(
    check: Check, server: SMTPServer, verb: str, reply: str, step: Step, expected: str | None
) -> None:
    server.on(verb, reply)

    results = check(server)

    assert failed(results).step is step
    assert str(failed(results).seen) == reply
    assert expected in {None, code(failed(results))}
    following = list(results)[list(results).index(step) + 1 :]
    assert {results[after].status for after in following} <= {StepStatus.SKIP}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("535 5.7.8 no", "smtp.bad_credentials"),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant",
            "microsoft.smtp_auth_disabled",
        ),
        ("534 5.7.9 Application-specific password required", "google.app_password_needed"),
    ],
)
def test_a_refused_sign_in_has_its_own_answer(check: Check, reply: str, expected: str) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        server.on("AUTH", reply)

        results = check(server, **SIGN_IN)

        assert failed(results).step is Step.AUTHENTICATE
        assert code(failed(results)) == expected


@pytest.mark.parametrize(
    ("security", "expected", "step"),
    [
        (Security.STARTTLS, "tls.starttls_not_offered", Step.TLS),
        (Security.IMPLICIT_TLS, "tls.expected_plain", Step.TLS),
        (Security.AUTO, "smtp.auth_needs_tls", Step.AUTHENTICATE),
    ],
)
def test_a_plain_server_where_encryption_was_expected(
    check: Check, security: Security, expected: str, step: Step
) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        results = check(server, security=security, **SIGN_IN)

        assert failed(results).step is step
        assert code(failed(results)) == expected


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.NONE, Security.AUTO])
def test_tls_where_plain_text_was_expected_is_found_out(
    check: Check, certificate: ServerCertificate, security: Security
) -> None:
    with SMTPServer(tls="implicit", certificate=certificate) as server:
        results = check(server, security=security, timeout_seconds=2)

        assert failed(results).step is Step.GREETING
        assert code(failed(results)) == "tls.expected_tls"


def test_a_refused_starttls_is_a_fault_of_the_tls_step(check: Check, certificate: ServerCertificate) -> None:
    with SMTPServer(tls="starttls", certificate=certificate) as server:
        server.on("STARTTLS", "454 4.7.0 TLS not available due to local problem")

        results = check(server, security=Security.STARTTLS)

        assert failed(results).step is Step.TLS
        assert code(failed(results)) == "tls.starttls_refused"


@pytest.mark.parametrize(("tls", "security"), [("implicit", Security.IMPLICIT_TLS), ("starttls", Security.STARTTLS)])
@pytest.mark.parametrize("case", ["expired", "self-signed", "wrong name", "unknown CA"])
def test_a_bad_certificate_is_described(
    check: Check, authority: Authority, case: str, tls: str, security: Security
) -> None:
    certificate, expected, described = {
        "expired": (
            authority.issue("127.0.0.1", valid_until=timedelta(hours=-1)),
            "tls.expired_certificate",
            "certificate has expired; it is for 127.0.0.1, issued by Contoso Test CA, expires ",
        ),
        "self-signed": (
            self_signed("127.0.0.1"),
            "tls.self_signed_certificate",
            "; it is for 127.0.0.1, issued by 127.0.0.1, expires ",
        ),
        "wrong name": (
            authority.issue("mail.elsewhere.test"),
            "tls.wrong_name",
            "; it is for mail.elsewhere.test, issued by Contoso Test CA, expires ",
        ),
        "unknown CA": (
            Authority().issue("127.0.0.1"),
            "tls.unknown_ca",
            "; it is for 127.0.0.1, issued by Contoso Test CA, expires ",
        ),
    }[case]
    with SMTPServer(accounts=ACCOUNTS, tls=tls, certificate=certificate) as server:
        results = check(server, security=security, ca_certificate=authority.pem, **SIGN_IN)

        assert failed(results).step is Step.TLS
        assert code(failed(results)) == expected
        assert described in str(failed(results).seen)
        assert not any("AUTH" in command for command in server.commands)


def test_a_certificate_that_ends_soon_is_a_warning(check: Check, authority: Authority) -> None:
    certificate = authority.issue("127.0.0.1", valid_until=timedelta(days=5, hours=1))
    with SMTPServer(tls="implicit", certificate=certificate) as server:
        results = check(server, security=Security.IMPLICIT_TLS, ca_certificate=authority.pem)

        ends = datetime.now(UTC) + timedelta(days=5, hours=1)
        assert results[Step.TLS].status is StepStatus.WARN
        assert str(results[Step.TLS].seen) == f"TLSv1.3, expires {ends:%Y-%m-%d}, in 5 days"
        assert results[Step.DATA].status is StepStatus.PASS


def test_an_unchecked_certificate_is_a_warning(check: Check) -> None:
    with SMTPServer(tls="implicit", certificate=self_signed("elsewhere.test")) as server:
        results = check(server, security=Security.IMPLICIT_TLS, verify_certificate=False)

        assert results[Step.TLS].status is StepStatus.WARN
        assert str(results[Step.TLS].seen).startswith("TLSv1.3, certificate not checked, expires ")


def test_a_password_in_clear_text_is_a_warning(check: Check) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        results = check(server, security=Security.NONE, **SIGN_IN)

        assert results[Step.TLS].status is StepStatus.WARN
        assert str(results[Step.TLS].seen) == "not encrypted: mail and password travel in clear text"
        assert results[Step.DATA].status is StepStatus.PASS


def test_auto_without_an_offer_is_a_warning_with_advice(check: Check, server: SMTPServer) -> None:
    results = check(server, security=Security.AUTO)

    assert results[Step.TLS].status is StepStatus.WARN
    assert code(results[Step.TLS]) == "tls.starttls_not_offered"
    assert results[Step.DATA].status is StepStatus.PASS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"host": ""}, "settings.incomplete"),
        ({"auth": Auth.PASSWORD, "password": "x"}, "settings.incomplete"),
        ({"auth": Auth.PASSWORD, "username": "relay"}, "settings.needs_secret"),
    ],
)
def test_missing_settings_end_it_before_anything_is_asked(
    check: Check, server: SMTPServer, changes: dict[str, Any], expected: str
) -> None:
    results = check(server, **changes)

    assert failed(results).step is Step.SETTINGS
    assert code(failed(results)) == expected
    assert server.connections == 0


def test_a_sender_that_needs_smtputf8_fails_where_it_is_not_offered(check: Check) -> None:
    with SMTPServer(smtputf8=False) as server:
        results = check(server, sender="größe@contoso.test")

        assert failed(results).step is Step.SENDER
        assert code(failed(results)) == "smtp.smtputf8_missing"


@pytest.mark.parametrize(
    ("host", "step", "expected"),
    [
        ("no host", Step.RESOLVE, "network.name_not_found"),
        ("169.254.169.254", Step.RESOLVE, "network.address_refused"),
        ("127.0.0.2", Step.CONNECT, "network.connection_refused"),
    ],
)
def test_a_host_that_cannot_be_reached_has_its_own_answer(
    check: Check, server: SMTPServer, host: str, step: Step, expected: str
) -> None:
    results = check(server, host=host)

    assert failed(results).step is step
    assert code(failed(results)) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({"silent": True}, "network.silence"),
        ({"trickle": 0.2}, "network.too_slow"),
        ({"flood": b"220-hello\r\n" * 1000}, "smtp.endless_reply"),
        ({"reply": b"220 " + b"x" * 100_000}, "smtp.line_too_long"),
        ({"reply": b"SSH-2.0-OpenSSH\r\n"}, "smtp.not_smtp"),
        ({"drop": "before"}, "network.connection_lost"),
    ],
    ids=["silence", "one byte at a time", "endless", "long line", "no SMTP", "hangs up"],
)
def test_a_hostile_greeting_is_answered_within_the_timeout(
    check: Check, server: SMTPServer, script: dict[str, Any], expected: str
) -> None:
    server.on("CONNECT", **script)
    started = monotonic()

    results = check(server, timeout_seconds=1)

    assert code(failed(results)) == expected
    assert monotonic() - started < 1 + 2


@pytest.mark.parametrize("banner", [b"-ERR secret of redis\r\n", b"200 secret news\r\n", b"220-x\r\n\x00secret\r\n"])
def test_what_another_service_says_is_not_shown(check: Check, server: SMTPServer, banner: bytes) -> None:
    server.on("CONNECT", banner)

    results = check(server)

    assert code(failed(results)) == "smtp.not_smtp"
    assert "secret" not in repr(results)
    assert server.commands == []


def test_slow_steps_share_one_timeout(check: Check, server: SMTPServer) -> None:
    for verb in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA"):
        server.on(verb, delay=0.2)
    started = monotonic()

    results = check(server, timeout_seconds=0.5)

    assert code(failed(results)) == "network.too_slow"
    assert monotonic() - started < 0.5 + 2


def test_a_greeting_that_is_held_back_on_purpose_still_passes(check: Check, server: SMTPServer) -> None:
    server.on("CONNECT", delay=0.4)

    results = check(server, timeout_seconds=1)

    assert results[Step.GREETING].status is StepStatus.PASS
    assert results[Step.DATA].status is StepStatus.PASS


# Sign-in by access token

TOKEN = "ya29.a0-secret-of-the-portal"
OTHER_TOKEN = "ya29.a1-secret-of-the-portal"


class Tokens:
    """Gives the first token, and the next one when asked to renew."""

    host = "login.contoso.test"

    def __init__(self, *tokens: str, expires_at: datetime | None = None, seconds: float = 0) -> None:
        self.expires_at = expires_at
        self._tokens = list(tokens)
        self._seconds = seconds

    def __call__(self, renew: bool) -> str:
        sleep(self._seconds)
        if not self._tokens:
            raise ConnectionFault(Step.TOKEN, code="network.connection_refused", seen="connection refused")
        return self._tokens.pop(0)


@pytest.fixture
def google(certificate: ServerCertificate) -> Iterator[SMTPServer]:
    with SMTPServer(
        tokens={OTHER_TOKEN: "portal@contoso.test"}, dialect="google", tls="starttls", certificate=certificate
    ) as server:
        yield server


def by_token(authority: Authority, tokens: object, **changes: Any) -> dict[str, Any]:
    username = "portal@contoso.test"
    by = {"security": Security.STARTTLS, "ca_certificate": authority.pem, "auth": Auth.XOAUTH2, "username": username}
    return {**by, "access_token": tokens, **changes}


def test_the_token_is_fetched_before_anything_is_looked_up(
    check: Check, authority: Authority, google: SMTPServer
) -> None:
    expires_at = datetime(2026, 11, 21, 12, 15, tzinfo=timezone(timedelta(hours=2)))
    tokens = Tokens(OTHER_TOKEN, expires_at=expires_at, seconds=0.05)

    results = check(google, **by_token(authority, tokens))

    assert words(results)[:3] == ["settings pass", "token pass", "resolve pass"]
    assert str(results[Step.SETTINGS].seen).endswith("STARTTLS, sign-in as portal@contoso.test by access token")
    assert str(results[Step.TOKEN].seen) == "an access token, good until 2026-11-21 10:15 UTC"
    assert results[Step.TOKEN].elapsed_ms >= 50
    assert str(results[Step.AUTHENTICATE].seen) == "signed in as portal@contoso.test"
    assert results[Step.DATA].status is StepStatus.PASS


def test_the_time_of_the_token_is_not_taken_from_the_server(
    check: Check, authority: Authority, google: SMTPServer
) -> None:
    results = check(google, timeout_seconds=0.4, **by_token(authority, Tokens(OTHER_TOKEN, seconds=0.5)))

    assert results[Step.DATA].status is StepStatus.PASS


def test_a_token_that_cannot_be_had_ends_the_check(check: Check, authority: Authority, google: SMTPServer) -> None:
    results = check(google, **by_token(authority, Tokens()))

    assert failed(results).step is Step.TOKEN
    assert str(failed(results).seen) == "connection refused"
    assert code(failed(results)) == "network.connection_refused"
    assert failed(results).diagnosis is not None
    assert "login.contoso.test" in str(failed(results).diagnosis)
    assert [result.status for result in results.values()][2:] == [StepStatus.SKIP] * 9
    assert google.connections == 0


def test_a_refused_token_is_renewed_within_the_sign_in(check: Check, authority: Authority, google: SMTPServer) -> None:
    results = check(google, **by_token(authority, Tokens(TOKEN, OTHER_TOKEN)))

    assert results[Step.AUTHENTICATE].status is StepStatus.PASS
    assert results[Step.DATA].status is StepStatus.PASS
    assert google.connections == 2


def test_a_token_refused_twice_has_its_own_answer_and_says_what_google_wants(
    check: Check, authority: Authority, google: SMTPServer
) -> None:
    results = check(google, **by_token(authority, Tokens(TOKEN, TOKEN)))

    assert failed(results).step is Step.AUTHENTICATE
    assert code(failed(results)) == "google.token_refused"
    assert str(failed(results).seen).endswith("status 400, schemes Bearer, scope https://mail.google.com/")


def test_no_token_stands_in_any_step_or_transcript(check: Check, authority: Authority, google: SMTPServer) -> None:
    google.on("TOKEN", f"535 5.7.8 bad token {OTHER_TOKEN}")
    google.on("TOKEN", f"535 5.7.8 bad token {TOKEN}", times=1)

    results = check(google, **by_token(authority, Tokens(TOKEN, OTHER_TOKEN)))

    assert results[Step.AUTHENTICATE].transcript[:3] == ("C: AUTH XOAUTH2", "S: 334 ", "C: ********")
    assert results[Step.AUTHENTICATE].transcript[3] == "S: 535 5.7.8 bad token ********"
    assert results[Step.AUTHENTICATE].transcript[-1] == "S: 535 5.7.8 bad token ********"
    assert str(failed(results).seen) == "535 5.7.8 bad token ********"
    for token in (TOKEN, OTHER_TOKEN):
        assert token not in repr(results)
        assert b64encode(token.encode()).decode()[:-4] not in repr(results)


def test_a_complaint_stands_in_the_transcript(check: Check, authority: Authority, google: SMTPServer) -> None:
    results = check(google, **by_token(authority, Tokens(TOKEN, TOKEN)))

    complaint = "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ=="
    assert results[Step.AUTHENTICATE].transcript[3:5] == (f"S: 334 {complaint}", "C: ")


def test_a_stored_token_needs_no_fetching(check: Check, authority: Authority, certificate: ServerCertificate) -> None:
    with SMTPServer(tokens={TOKEN: "portal@contoso.test"}, tls="starttls", certificate=certificate) as server:
        results = check(server, **by_token(authority, None, auth=Auth.OAUTHBEARER, password=TOKEN))

        assert results[Step.TOKEN].status is StepStatus.SKIP
        assert str(results[Step.TOKEN].seen) == "the stored access token is used"
        assert results[Step.DATA].status is StepStatus.PASS


def test_a_missing_token_is_a_missing_secret(check: Check, authority: Authority, google: SMTPServer) -> None:
    results = check(google, **by_token(authority, None))

    assert failed(results).step is Step.SETTINGS
    assert str(failed(results).seen) == "there is no access token"
    assert code(failed(results)) == "settings.needs_secret"


def test_a_token_does_not_travel_in_clear_text(check: Check, authority: Authority) -> None:
    with SMTPServer(tokens={TOKEN: "portal@contoso.test"}) as server:
        results = check(server, **by_token(authority, Tokens(TOKEN), security=Security.NONE))

        assert str(results[Step.TLS].seen) == "not encrypted: mail travels in clear text"
        assert code(failed(results)) == "smtp.auth_needs_tls"
        assert server.commands == ["EHLO portal.contoso.test"]


def test_a_mechanism_that_is_not_offered_is_explained_in_words_about_tokens(
    check: Check, authority: Authority, certificate: ServerCertificate
) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls="starttls", certificate=certificate) as server:
        results = check(server, **by_token(authority, Tokens(TOKEN)))

        failure = failed(results)
        assert code(failure) == "smtp.auth_mechanism_not_offered"
        assert failure.diagnosis is not None
        assert str(failure.diagnosis.cause) == "127.0.0.1 does not offer to sign in by access token."


def test_a_bad_certificate_met_on_the_way_to_the_token_is_not_looked_for_at_the_mail_server(
    check: Check, authority: Authority, google: SMTPServer
) -> None:
    asked = []

    def tokens(renew: bool) -> str:
        asked.append(renew)
        if len(asked) == 2:
            raise ConnectionFault(Step.TOKEN, code="tls.expired_certificate", seen="certificate has expired")
        return TOKEN

    results = check(google, **by_token(authority, tokens))

    assert asked == [True, True]
    assert failed(results).step is Step.AUTHENTICATE
    assert str(failed(results).seen) == "certificate has expired"
    assert google.connections == 1
