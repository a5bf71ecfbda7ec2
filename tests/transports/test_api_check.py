"""The connection check of an API: settings, token, permissions, mailbox, against the stand-ins."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from portal.network.https import HTTPS, HTTPSSettings
from portal.transports import ConnectionFault, Step, StepResult, StepStatus, gmail_check, graph_check
from portal.transports.api_calls import AccessToken
from portal.transports.api_check import Look, check_api
from portal.transports.diagnosis import Target, api_target
from portal.transports.smtp_findings import passed
from portal.wording import N_, Text
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.google import EMAIL, FULL_MAIL, SEND, GoogleServer
from tests.outside.microsoft import MicrosoftServer
from tests.transports.api_connections import Tokens

TENANT = "11111111-1111-4111-8111-111111111111"
CLIENT = "22222222-2222-4222-8222-222222222222"
GOOGLE_CLIENT = "861228239640-portal.apps.googleusercontent.com"
PORTAL = "portal@contoso.test"
PASS, WARN, FAIL, SKIP = StepStatus.PASS, StepStatus.WARN, StepStatus.FAIL, StepStatus.SKIP
GRAPH = "https://graph.microsoft.com"


@pytest.fixture(scope="module")
def https(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPS]:
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    bundle.write_text(authority.pem)
    with HTTPS(HTTPSSettings(ca_bundle=bundle)) as https:
        yield https


@pytest.fixture
def microsoft(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    with MicrosoftServer(certificate=certificate) as microsoft:
        microsoft.add_tenant(TENANT, domains=["contoso.test"])
        microsoft.add_app(TENANT, CLIENT, application=["Mail.Send"], delegated=["User.Read", "Mail.Send"])
        microsoft.add_mailbox(TENANT, PORTAL)
        yield microsoft


@pytest.fixture
def google(certificate: ServerCertificate) -> Iterator[GoogleServer]:
    with GoogleServer(certificate=certificate) as google:
        google.add_client(GOOGLE_CLIENT, "secret")
        google.add_account(PORTAL)
        yield google


def never() -> bool:
    return False


def ignored(result: StepResult) -> None:
    return None


def check(
    *,
    missing: tuple[Text, ...] = (),
    access_token: AccessToken | None = None,
    permissions: Look | None = None,
    mailbox: Look | None = None,
    on_step: Callable[[StepResult], None] = ignored,
    cancelled: Callable[[], bool] = never,
) -> tuple[StepResult, ...]:
    return check_api(
        missing=missing,
        access_token=access_token or Tokens("token"),
        permissions=permissions or (lambda token: passed("Mail.Send")),
        mailbox=mailbox or (lambda token: passed(PORTAL)),
        target=api_target(GRAPH, mailbox=PORTAL),
        on_step=on_step,
        cancelled=cancelled,
    )


def in_short(results: tuple[StepResult, ...]) -> list[tuple[str, str, str]]:
    """Step, status and code of each."""
    return [(str(one.step), str(one.status), one.diagnosis.code if one.diagnosis else "") for one in results]


# The walk


def test_the_steps_are_taken_in_order_and_reported_as_they_end() -> None:
    reported: list[StepResult] = []

    results = check(on_step=reported.append)

    assert in_short(results) == [
        ("settings", "pass", ""),
        ("token", "pass", ""),
        ("permissions", "pass", ""),
        ("mailbox", "pass", ""),
    ]
    assert reported == list(results)
    assert str(results[0].seen) == "graph.microsoft.com as portal@contoso.test"


def test_what_the_settings_lack_is_named_and_nobody_is_asked() -> None:
    tokens = Tokens("token")

    results = check(missing=(N_("client ID"), N_("client secret")), access_token=tokens)

    assert in_short(results) == [
        ("settings", "fail", "settings.incomplete"),
        ("token", "skip", ""),
        ("permissions", "skip", ""),
        ("mailbox", "skip", ""),
    ]
    assert str(results[0].seen) == "missing: client ID, client secret"
    assert tokens.asked == []


def test_a_new_token_is_asked_for_and_never_shown() -> None:
    tokens = Tokens("kept", "eyJ.secret.token")

    results = check(access_token=tokens)

    assert tokens.asked == [True]
    assert "eyJ" not in repr(results)


def test_how_long_the_token_lasts_is_shown_where_it_is_known() -> None:
    class Expiring(Tokens):
        expires_at = datetime(2026, 11, 21, 11, 15, tzinfo=UTC)

    results = check(access_token=Expiring("token"))

    assert str(results[1].seen) == "an access token, good until 2026-11-21 11:15 UTC"


def test_why_there_is_no_token_is_told_with_the_server_that_gives_them() -> None:
    class Refusing(Tokens):
        host = "login.microsoftonline.com"

        def __call__(self, renew: bool) -> str:
            raise ConnectionFault(Step.TOKEN, code="tls.unknown_ca", seen="unable to get local issuer certificate")

    results = check(access_token=Refusing())

    assert in_short(results)[1:] == [
        ("token", "fail", "tls.unknown_ca"),
        ("permissions", "skip", ""),
        ("mailbox", "skip", ""),
    ]
    assert str(results[1].seen) == "unable to get local issuer certificate"
    assert results[1].diagnosis is not None
    assert "PORTAL_CA_BUNDLE" in str(results[1].diagnosis.remedy)
    assert "login.microsoftonline.com" in str(results[1].diagnosis.cause)


def test_a_check_that_is_cancelled_skips_the_rest() -> None:
    ended: list[StepResult] = []

    results = check(on_step=ended.append, cancelled=lambda: len(ended) >= 2)

    assert [one.status for one in results] == [PASS, PASS, SKIP, SKIP]


# Microsoft: what the token may do


def token_with(**claims: object) -> str:
    parts = ({"alg": "RS256"}, {"aud": GRAPH, **claims})
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "signature"])


def permissions(token: str, *, is_app_only: bool, graph_url: str = GRAPH) -> tuple[StepStatus, str, str]:
    target = api_target(graph_url, mailbox=PORTAL, client_id=CLIENT)
    finding = graph_check.look_at_permissions(graph_url=graph_url, is_app_only=is_app_only, target=target)(token)
    return finding.status, str(finding.seen), finding.diagnosis.code if finding.diagnosis else ""


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"scp": "Mail.Send User.Read"}, (PASS, "Mail.Send, User.Read", "")),
        ({"scp": "Mail.Send.Shared"}, (PASS, "Mail.Send.Shared", "")),
        ({"scp": "User.Read Mail.Sender"}, (FAIL, "User.Read, Mail.Sender", "graph.mail_send_missing")),
        ({}, (FAIL, "no permission", "graph.mail_send_missing")),
        ({"scp": ["Mail.Send"]}, (FAIL, "['Mail.Send']", "graph.mail_send_missing")),
    ],
)
def test_a_consent_must_include_sending(claims: dict[str, object], found: tuple[StepStatus, str, str]) -> None:
    assert permissions(token_with(**claims), is_app_only=False) == found


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"roles": ["Mail.Send"]}, (WARN, "Mail.Send", "graph.sends_as_everybody")),
        ({}, (WARN, "the access token names no permission", "graph.rights_not_visible")),
        ({"roles": ["User.Read.All"]}, (WARN, "User.Read.All, without Mail.Send", "graph.rights_not_visible")),
        ({"roles": "Mail.Send"}, (WARN, "the access token names no permission", "graph.rights_not_visible")),
    ],
)
def test_an_applications_rights_are_judged(claims: dict[str, object], found: tuple[StepStatus, str, str]) -> None:
    assert permissions(token_with(**claims), is_app_only=True) == found


@pytest.mark.parametrize(
    ("graph_url", "audience", "is_right"),
    [
        (GRAPH, "https://graph.microsoft.com/", True),
        (GRAPH, "00000003-0000-0000-c000-000000000000", True),
        (GRAPH, "https://outlook.office365.com", False),
        (GRAPH, "https://graph.microsoft.us", False),
        ("https://graph.microsoft.us", "https://graph.microsoft.com", False),
        ("https://graph.microsoft.us", "https://graph.microsoft.us", True),
        ("https://127.0.0.1:8443/graph", "https://graph.microsoft.com", True),
        ("https://127.0.0.1:8443/graph", "https://outlook.office.com", False),
    ],
)
def test_a_token_for_another_service_is_found_out(graph_url: str, audience: str, is_right: bool) -> None:
    token = token_with(aud=audience, scp="Mail.Send")

    status, _, code = permissions(token, is_app_only=False, graph_url=graph_url)

    assert (status, code) == ((PASS, "") if is_right else (FAIL, "graph.wrong_audience"))


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "EwBw.%%%.x", "a.W10.c", "a.bnVsbA.c", "a." + "W" * 4000 + ".c", ""]
)
def test_a_token_that_cannot_be_read_is_no_fault(token: str) -> None:
    assert permissions(token, is_app_only=False) == (
        WARN,
        "the access token cannot be read",
        "graph.rights_not_visible",
    )


def test_an_application_that_sends_as_everybody_learns_how_to_be_limited() -> None:
    target = api_target(GRAPH, mailbox="o'neil@contoso.test", client_id=CLIENT)

    finding = graph_check.look_at_permissions(graph_url=GRAPH, is_app_only=True, target=target)(
        token_with(roles=["Mail.Send"])
    )

    assert finding.diagnosis is not None
    remedy = str(finding.diagnosis.remedy)
    assert f"New-ServicePrincipal -AppId {CLIENT} -ObjectId" in remedy
    assert "-RecipientRestrictionFilter 'PrimarySmtpAddress -eq ''o''''neil@contoso.test''';" in remedy
    assert f"Test-ServicePrincipalAuthorization -Identity {CLIENT} -Resource 'o''neil@contoso.test'" in remedy


# Microsoft: the whole way


def check_graph(
    microsoft: MicrosoftServer, https: HTTPS, token: str, *, mailbox: str = PORTAL, is_app_only: bool = True
) -> tuple[StepResult, ...]:
    target = api_target(microsoft.graph_url, mailbox=mailbox or PORTAL, client_id=CLIENT, tenant=TENANT)
    return check(
        access_token=Tokens(token),
        permissions=graph_check.look_at_permissions(
            graph_url=microsoft.graph_url, is_app_only=is_app_only, target=target
        ),
        mailbox=graph_check.look_at_mailbox(https, graph_url=microsoft.graph_url, mailbox=mailbox, target=target),
    )


def test_a_consent_passes_with_its_own_mailbox(microsoft: MicrosoftServer, https: HTTPS) -> None:
    token = microsoft.grant(CLIENT, PORTAL, "Mail.Send", "User.Read").access_token

    results = check_graph(microsoft, https, token, mailbox="", is_app_only=False)

    assert [one.status for one in results] == [PASS, PASS, PASS, PASS]
    assert str(results[3].seen) == PORTAL
    assert microsoft.requests[-1].query == {"$select": "id,mail,userPrincipalName"}
    assert microsoft.messages == []


def test_the_consent_of_another_account_is_shown(microsoft: MicrosoftServer, https: HTTPS) -> None:
    microsoft.add_mailbox(TENANT, "ada@contoso.test", user_principal_name="a.lovelace@contoso.test")
    token = microsoft.grant(CLIENT, "ada@contoso.test", "Mail.Send", "User.Read").access_token

    results = check_graph(microsoft, https, token, mailbox="", is_app_only=False)

    assert in_short(results)[3] == ("mailbox", "warn", "microsoft.wrong_account")
    assert str(results[3].seen) == "ada@contoso.test, signs in as a.lovelace@contoso.test"


def test_an_application_that_may_look_mailboxes_up_sees_its_own(microsoft: MicrosoftServer, https: HTTPS) -> None:
    microsoft.add_app(TENANT, CLIENT, application=["Mail.Send", "User.ReadBasic.All"])

    results = check_graph(microsoft, https, microsoft.app_token(CLIENT))

    assert in_short(results)[2:] == [("permissions", "warn", "graph.sends_as_everybody"), ("mailbox", "pass", "")]


def test_an_application_that_may_not_is_warned(microsoft: MicrosoftServer, https: HTTPS) -> None:
    results = check_graph(microsoft, https, microsoft.app_token(CLIENT))

    assert in_short(results)[3] == ("mailbox", "warn", "graph.mailbox_not_readable")
    assert str(results[3].seen).startswith("403 Authorization_RequestDenied: ")


def test_a_mailbox_that_is_not_there_fails(microsoft: MicrosoftServer, https: HTTPS) -> None:
    microsoft.add_app(TENANT, CLIENT, application=["Mail.Send", "User.ReadBasic.All"])

    results = check_graph(microsoft, https, microsoft.app_token(CLIENT), mailbox="nobody@contoso.test")

    assert in_short(results)[3] == ("mailbox", "fail", "graph.mailbox_not_found")
    assert results[3].diagnosis is not None


def test_an_account_without_a_mailbox_is_warned(microsoft: MicrosoftServer, https: HTTPS) -> None:
    microsoft.add_mailbox(TENANT, "bare@contoso.test", has_exchange=False)
    microsoft.add_app(TENANT, CLIENT, application=["Mail.Send", "User.ReadBasic.All"])

    results = check_graph(microsoft, https, microsoft.app_token(CLIENT), mailbox="bare@contoso.test")

    assert in_short(results)[3] == ("mailbox", "warn", "graph.mailbox_not_enabled")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"status": 401}, "graph.token_refused"),
        ({"status": 503}, "graph.unavailable"),
        ({"status": 404, "code": "MailboxNotEnabledForRESTAPI"}, "graph.mailbox_not_enabled"),
        ({"status": 403, "body": "<h1>Blocked</h1>"}, "http.unexpected_answer"),
        ({"status": 200, "body": "<h1>Sign in</h1>"}, "http.unexpected_answer"),
        ({"status": 200, "body": []}, "http.unexpected_answer"),
        ({"drop": "before"}, "network.connection_lost"),
    ],
)
def test_what_goes_wrong_when_the_mailbox_is_looked_up_fails(
    microsoft: MicrosoftServer, https: HTTPS, script: dict[str, object], code: str
) -> None:
    microsoft.on("users", **script)  # type: ignore[arg-type]

    results = check_graph(microsoft, https, microsoft.app_token(CLIENT))

    assert in_short(results)[3] == ("mailbox", "fail", code)


# Google


def check_gmail(
    google: GoogleServer,
    https: HTTPS,
    *scopes: str,
    account: str = PORTAL,
    target: Target | None = None,
) -> tuple[StepResult, ...]:
    target = target or api_target(google.url, mailbox=PORTAL, client_id=GOOGLE_CLIENT)
    granted = frozenset(scopes)
    return check(
        access_token=Tokens(google.grant(GOOGLE_CLIENT, account, *scopes).access_token),
        permissions=gmail_check.look_at_permissions(granted=granted, target=target),
        mailbox=gmail_check.look_at_mailbox(
            https,
            userinfo_url=google.endpoints["userinfo_url"],
            api_url=google.url,
            granted=granted,
            target=target,
        ),
    )


def lists_asked_for(google: GoogleServer) -> int:
    return sum(one.path.endswith("/settings/sendAs") for one in google.requests)


@pytest.mark.parametrize("scope", [SEND, FULL_MAIL])
def test_a_grant_that_may_send_passes(google: GoogleServer, https: HTTPS, scope: str) -> None:
    results = check_gmail(google, https, EMAIL, scope)

    assert [one.status for one in results] == [PASS, PASS, PASS, PASS]
    assert str(results[3].seen) == PORTAL
    assert google.messages == []


def test_a_box_that_was_left_empty_fails(google: GoogleServer, https: HTTPS) -> None:
    results = check_gmail(google, https, EMAIL)

    assert in_short(results)[2:] == [("permissions", "fail", "google.scope_missing"), ("mailbox", "skip", "")]
    assert str(results[2].seen) == EMAIL


def test_the_grant_of_another_account_fails(google: GoogleServer, https: HTTPS) -> None:
    google.add_account("ada@contoso.test")

    results = check_gmail(google, https, EMAIL, SEND, account="ada@contoso.test")

    assert in_short(results)[3] == ("mailbox", "fail", "google.wrong_account")
    assert str(results[3].seen) == "ada@contoso.test"


def test_a_from_address_that_gmail_would_replace_is_warned(google: GoogleServer, https: HTTPS) -> None:
    target = api_target(google.url, mailbox=PORTAL, sender="news@contoso.test")

    results = check_gmail(google, https, EMAIL, SEND, target=target)

    assert in_short(results)[3] == ("mailbox", "warn", "gmail.from_rewritten")
    assert str(results[3].seen) == "portal@contoso.test; the From address is news@contoso.test"
    assert lists_asked_for(google) == 0


@pytest.mark.parametrize("sender", ["news@contoso.test", "News@Contoso.test"])
def test_a_from_address_that_gmail_lists_as_confirmed_passes(google: GoogleServer, https: HTTPS, sender: str) -> None:
    google.add_account(PORTAL, aliases=["news@contoso.test"])
    target = api_target(google.url, mailbox=PORTAL, sender=sender)

    results = check_gmail(google, https, EMAIL, FULL_MAIL, target=target)

    assert in_short(results)[3] == ("mailbox", "pass", "")
    assert str(results[3].seen) == f"portal@contoso.test; the From address {sender} is a confirmed alias of it"


@pytest.mark.parametrize(
    "listed", [{}, {"unconfirmed_aliases": ["news@contoso.test"]}, {"aliases": ["ada@contoso.test"]}]
)
def test_a_from_address_that_gmail_does_not_list_as_confirmed_is_warned(
    google: GoogleServer, https: HTTPS, listed: dict[str, list[str]]
) -> None:
    google.add_account(PORTAL, **listed)
    target = api_target(google.url, mailbox=PORTAL, sender="news@contoso.test")

    results = check_gmail(google, https, EMAIL, FULL_MAIL, target=target)

    assert in_short(results)[3] == ("mailbox", "warn", "gmail.from_rewritten")
    assert lists_asked_for(google) == 1


@pytest.mark.parametrize("script", [{"status": 403}, {"status": 200, "body": b"\x00"}, {"drop": "before"}])
def test_a_list_of_senders_that_does_not_come_leaves_the_warning(
    google: GoogleServer, https: HTTPS, script: dict[str, object]
) -> None:
    google.add_account(PORTAL, aliases=["news@contoso.test"])
    google.on("send_as", **script)  # type: ignore[arg-type]
    target = api_target(google.url, mailbox=PORTAL, sender="news@contoso.test")

    results = check_gmail(google, https, EMAIL, FULL_MAIL, target=target)

    assert in_short(results)[3] == ("mailbox", "warn", "gmail.from_rewritten")


def test_a_token_that_does_not_tell_whose_it_is_is_warned(google: GoogleServer, https: HTTPS) -> None:
    results = check_gmail(google, https, SEND)

    assert in_short(results)[3] == ("mailbox", "warn", "")
    assert all(one.path != "/v1/userinfo" for one in google.requests)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"status": 401, "body": {"error": "invalid_request"}}, "gmail.token_refused"),
        ({"status": 500, "body": {"error": {"message": "Oops"}}}, "gmail.unavailable"),
        ({"status": 200, "body": {"sub": "1"}}, "http.unexpected_answer"),
        ({"status": 200, "body": b"\x00"}, "http.unexpected_answer"),
    ],
)
def test_what_goes_wrong_when_google_is_asked_fails(
    google: GoogleServer, https: HTTPS, script: dict[str, object], code: str
) -> None:
    google.on("userinfo", **script)  # type: ignore[arg-type]

    results = check_gmail(google, https, EMAIL, SEND)

    assert in_short(results)[3] == ("mailbox", "fail", code)
