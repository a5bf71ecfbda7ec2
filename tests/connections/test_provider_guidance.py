"""What the form tells beside its fields follows from what is typed, and from where the portal is reached."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from portal.connections.provider_guidance import guidance_of
from portal.connections.provider_values import ProviderValues
from portal.connections.values import ConnectionValues, Method
from tests.admin_browser import Browser
from tests.connections.consenting import MICROSOFT_ID, MICROSOFT_SECRET, TENANT, Outside, connect, create
from tests.connections.making import installation_of, stored

CALLBACK = "http://localhost/oauth/microsoft/callback"


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def person(**own: str) -> ConnectionValues:
    return ConnectionValues(name="Main", method=Method.MICROSOFT, microsoft=ProviderValues(**own))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("public_url", "problems"),
    [
        ("http://127.0.0.1:8000", {Method.MICROSOFT, Method.MICROSOFT_APP}),
        ("http://localhost:8000", set()),
        ("https://10.0.0.5", {Method.GOOGLE}),
        ("https://mail.contoso.com", set()),
    ],
)
def test_an_address_that_a_provider_will_not_register_is_said_before_anybody_tries(
    app: Flask, public_url: str, problems: set[Method]
) -> None:
    installation = replace(installation_of(app), public_url=public_url)

    guidance = guidance_of(person(), installation=installation)

    assert {method for method, one in guidance.items() if one.problem} == problems


@pytest.mark.parametrize(
    ("values", "is_personal"),
    [
        (person(tenant_id="consumers"), True),
        (person(mailbox="portal@outlook.com"), True),
        (person(mailbox="portal@outlook.com", tenant_id="contoso.com"), False),
        (person(mailbox="portal@contoso.com"), False),
    ],
)
def test_the_steps_for_personal_accounts_are_shown_to_those_who_need_them(
    app: Flask, values: ConnectionValues, is_personal: bool
) -> None:
    guidance = guidance_of(values, installation=installation_of(app))

    told = " ".join(str(step.text) for step in guidance[Method.MICROSOFT].steps)
    assert ("personal Microsoft accounts”" in told) is is_personal
    assert "personal Microsoft accounts”" not in " ".join(str(s.text) for s in guidance[Method.MICROSOFT_APP].steps)


def test_an_account_consents_at_the_tenant_that_stands_for_personal_ones(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    outside.microsoft.add_app(
        TENANT, MICROSOFT_ID, secrets={MICROSOFT_SECRET: None}, redirect_uris=[CALLBACK], is_multitenant=True
    )
    own = {"client_id": MICROSOFT_ID, "tenant_id": "consumers", "mailbox": "portal@contoso.test"}
    connection_id = create(portal, replace(person(**own), from_address="portal@contoso.test"))

    connect(admin, outside, connection_id)

    grant = stored(portal).grant
    assert grant is not None
    assert (grant.account, grant.is_good) == ("portal@contoso.test", True)
    assert {request.path.split("/")[1] for request in outside.microsoft.requests if "oauth2" in request.path} >= {
        "consumers"
    }
