"""What to click at Google and Microsoft, with the organisation's own values, which no value can break out of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.connections.console_steps import (
    ConsoleStep,
    OwnValues,
    exchange_commands,
    google_steps,
    microsoft_app_steps,
    microsoft_steps,
    service_account_steps,
)
from portal.connections.oauth.provider import Cloud
from portal.connections.provider_values import Credential, SendThrough

OWN = OwnValues(
    redirect_url="https://mail.contoso.com/oauth/google/callback",
    scopes={SendThrough.API: "scope-of-the-api", SendThrough.SMTP: "scope-of-smtp"},
    client_id="6f1c6a1e",
    tenant_id="contoso.com",
    mailbox="portal@contoso.com",
)


def values_in(steps: tuple[ConsoleStep, ...]) -> set[str]:
    return {step.value for step in steps if step.value}


@pytest.mark.parametrize("steps", [google_steps, microsoft_steps])
def test_who_consents_registers_the_redirect_url_and_the_scopes(steps: object) -> None:
    assert callable(steps)
    found = values_in(steps(OWN))

    assert {OWN.redirect_url, "scope-of-the-api", "scope-of-smtp", "portal@contoso.com"} <= found


def test_a_service_account_needs_no_redirect_url() -> None:
    steps = service_account_steps(OWN)

    assert OWN.redirect_url not in values_in(steps)
    assert any("domain-wide delegation" in str(step.text) for step in steps)


def test_each_way_of_sending_has_its_own_steps() -> None:
    by_scope = {step.value: step.send_through for step in google_steps(OWN) if step.send_through and step.value}

    assert by_scope == {"scope-of-the-api": SendThrough.API, "scope-of-smtp": SendThrough.SMTP}


def test_each_credential_of_an_application_has_its_own_steps() -> None:
    assert {step.credential for step in microsoft_app_steps(OWN)} == {None, *Credential}


@pytest.mark.parametrize(
    ("cloud", "address"),
    [
        (Cloud.GLOBAL, "https://entra.microsoft.com"),
        (Cloud.US_GOV, "https://entra.microsoft.us"),
        (Cloud.US_DOD, "https://entra.microsoft.us"),
        (Cloud.CHINA, "https://portal.azure.cn"),
    ],
)
def test_the_steps_lead_to_the_cloud_that_was_chosen(cloud: Cloud, address: str) -> None:
    own = OwnValues(redirect_url="", scopes=OWN.scopes, cloud=cloud)

    assert address in {step.link for step in microsoft_steps(own)}


def test_the_commands_open_one_mailbox_to_the_application() -> None:
    own = replace(OWN, name="Ada's", principal_id="9a4b")

    assert exchange_commands(own, SendThrough.API).splitlines() == [
        "$principal = '9a4b'",
        "Connect-ExchangeOnline",
        "if (-not (Get-ServicePrincipal | Where-Object AppId -eq '6f1c6a1e')) "
        "{ New-ServicePrincipal -AppId '6f1c6a1e' -ObjectId $principal -DisplayName 'Mail Portal' }",
        "New-ManagementScope -Name 'Mail Portal: Ada''s' "
        "-RecipientRestrictionFilter 'PrimarySmtpAddress -eq ''portal@contoso.com'''",
        "New-ManagementRoleAssignment -App '6f1c6a1e' -Role 'Application Mail.Send' "
        "-CustomResourceScope 'Mail Portal: Ada''s'",
        "Test-ServicePrincipalAuthorization -Identity '6f1c6a1e' -Resource 'portal@contoso.com'",
    ]


def test_the_object_id_of_the_enterprise_application_is_looked_up_where_no_token_told_it() -> None:
    commands = exchange_commands(OWN, SendThrough.SMTP).splitlines()

    assert commands[:2] == [
        "Connect-MgGraph -Scopes 'Application.Read.All'",
        "$principal = (Get-MgServicePrincipal -Filter 'AppId eq ''6f1c6a1e''').Id",
    ]
    assert "Add-MailboxPermission -Identity 'portal@contoso.com' -User $principal -AccessRights FullAccess" in commands


@pytest.mark.parametrize("through", SendThrough)
@pytest.mark.parametrize(
    ("cloud", "exchange", "graph"),
    [
        (Cloud.US_GOV, "O365USGovGCCHigh", "USGov"),
        (Cloud.US_DOD, "O365USGovDoD", "USGovDoD"),
        (Cloud.CHINA, "O365China", "China"),
    ],
)
def test_the_commands_sign_in_to_the_cloud_that_was_chosen(
    through: SendThrough, cloud: Cloud, exchange: str, graph: str
) -> None:
    commands = exchange_commands(replace(OWN, cloud=cloud), through).splitlines()

    assert f"Connect-ExchangeOnline -ExchangeEnvironmentName {exchange}" in commands
    assert f"Connect-MgGraph -Scopes 'Application.Read.All' -Environment {graph}" in commands


def test_two_connections_of_one_application_have_scopes_of_their_own_within_the_length_that_exchange_takes() -> None:
    one, two = (exchange_commands(replace(OWN, name=name), SendThrough.API) for name in ("One", "T" * 100))

    assert "-Name 'Mail Portal: One'" in one
    assert f"-Name 'Mail Portal: {'T' * 51}'" in two


def test_sending_by_smtp_needs_rights_on_the_mailbox_itself() -> None:
    commands = exchange_commands(OWN, SendThrough.SMTP)

    assert "Add-MailboxPermission -Identity 'portal@contoso.com'" in commands
    assert "Application Mail.Send" not in commands


@pytest.mark.parametrize("quote", ["'", "\u2018", "\u2019", "\u201a", "\u201b"])
def test_a_value_is_never_a_command(quote: str) -> None:
    own = OwnValues(redirect_url="", scopes=OWN.scopes, client_id=f"a{quote};Remove-Mailbox b;{quote}", mailbox="$(c)")

    commands = exchange_commands(own, SendThrough.API)

    assert f"-AppId 'a{quote}{quote};Remove-Mailbox b;{quote}{quote}' -ObjectId" in commands
    assert f"a{quote * 4};Remove-Mailbox b;{quote * 4}" in commands  # a text within a text
    assert '"' not in commands


def test_what_is_not_known_yet_is_named_in_the_commands() -> None:
    commands = exchange_commands(OwnValues(redirect_url="", scopes=OWN.scopes), SendThrough.API)

    assert "-AppId '<client ID>'" in commands
    assert "-Resource '<mailbox>'" in commands


def test_a_personal_account_is_let_in_by_the_registration_and_signs_in_without_an_organisations_tenant() -> None:
    steps = microsoft_steps(replace(OWN, is_personal=True))

    texts = " ".join(str(step.text) for step in steps)
    assert "“Accounts in any organizational directory and personal Microsoft accounts”" in texts
    assert "in this organizational directory only" not in texts
    assert "admin consent" not in texts
    assert {"consumers", OWN.redirect_url, "scope-of-the-api", "scope-of-smtp"} <= values_in(steps)
