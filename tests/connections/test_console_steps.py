"""What to click at Google and Microsoft, with the organisation's own values, which no value can break out of."""

from __future__ import annotations

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
    assert exchange_commands(OWN, SendThrough.API).splitlines() == [
        "Connect-ExchangeOnline",
        "New-ServicePrincipal -AppId '6f1c6a1e' -ObjectId '<object ID of the enterprise application>' "
        "-DisplayName 'Mail Portal'",
        "New-ManagementScope -Name 'Mail Portal: its mailbox' "
        "-RecipientRestrictionFilter 'PrimarySmtpAddress -eq ''portal@contoso.com'''",
        "New-ManagementRoleAssignment -App '6f1c6a1e' -Role 'Application Mail.Send' "
        "-CustomResourceScope 'Mail Portal: its mailbox'",
        "Test-ServicePrincipalAuthorization -Identity '6f1c6a1e' -Resource 'portal@contoso.com'",
    ]


def test_sending_by_smtp_needs_rights_on_the_mailbox_itself() -> None:
    commands = exchange_commands(OWN, SendThrough.SMTP)

    assert "Add-MailboxPermission -Identity 'portal@contoso.com'" in commands
    assert "Application Mail.Send" not in commands


@pytest.mark.parametrize("quote", ["'", "\u2018", "\u2019", "\u201a", "\u201b"])
def test_a_value_is_never_a_command(quote: str) -> None:
    own = OwnValues(redirect_url="", scopes=OWN.scopes, client_id=f"a{quote};Remove-Mailbox b;{quote}", mailbox="$(c)")

    commands = exchange_commands(own, SendThrough.API)

    assert f"-AppId 'a{quote}{quote};Remove-Mailbox b;{quote}{quote}' -ObjectId" in commands
    assert '"' not in commands


def test_what_is_not_known_yet_is_named_in_the_commands() -> None:
    commands = exchange_commands(OwnValues(redirect_url="", scopes=OWN.scopes), SendThrough.API)

    assert "-AppId '<client ID>'" in commands
    assert "-Resource '<mailbox>'" in commands
