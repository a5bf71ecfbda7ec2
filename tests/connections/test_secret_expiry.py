"""When an application's secret ends: counted in days, told on every page from 30 days before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask

from portal.connections.announcing import banners
from portal.connections.oauth.microsoft_certificates import make_key_pair
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.secret_expiry import expiry_of
from portal.connections.values import ConnectionValues, Method, Role, SecretChange
from portal.extensions import db
from tests.connections.making import create, installation_of

TODAY = date(2026, 11, 21)
APPLICATION = ConnectionValues(
    name="Graph", method=Method.MICROSOFT_APP, microsoft_app=ProviderValues(secret_expires_on="2026-12-21")
)


@pytest.mark.parametrize(
    ("day", "days", "kind", "label"),
    [
        ("2027-01-01", 41, "ok", "expires in 41 days"),
        ("2026-12-22", 31, "ok", "expires in 31 days"),
        ("2026-12-21", 30, "warn", "expires in 30 days"),
        ("2026-11-29", 8, "warn", "expires in 8 days"),
        ("2026-11-28", 7, "bad", "expires in 7 days"),
        ("2026-11-22", 1, "bad", "expires tomorrow"),
        ("2026-11-21", 0, "bad", "expires today"),
        ("2026-11-20", -1, "bad", "expired"),
    ],
)
def test_the_days_are_counted_and_coloured(day: str, days: int, kind: str, label: str) -> None:
    values = APPLICATION.with_provider(ProviderValues(secret_expires_on=day))

    expiry = expiry_of(values, today=TODAY)

    assert expiry is not None
    assert (expiry.days, expiry.kind, str(expiry.label)) == (days, kind, label)


def test_a_certificate_says_itself_when_it_ends() -> None:
    pair = make_key_pair("Mail Portal", now=datetime(2026, 11, 21, tzinfo=UTC))
    own = ProviderValues(
        credential=Credential.CERTIFICATE, client_certificate=pair.public_certificate, secret_expires_on="2026-11-22"
    )

    expiry = expiry_of(APPLICATION.with_provider(own), today=TODAY)

    assert expiry is not None
    assert expiry.on == date(2028, 11, 20)


@pytest.mark.parametrize(
    "values",
    [
        APPLICATION.with_provider(ProviderValues()),
        APPLICATION.with_provider(ProviderValues(credential=Credential.FEDERATED, secret_expires_on="2026-11-22")),
        APPLICATION.with_provider(ProviderValues(credential=Credential.CERTIFICATE, client_certificate="none")),
        replace(APPLICATION, method=Method.SMTP),
    ],
    ids=["unknown", "federated", "no certificate", "another method"],
)
def test_what_does_not_end_or_is_not_known_is_not_counted(values: ConnectionValues) -> None:
    assert expiry_of(values, today=TODAY) is None


@pytest.mark.parametrize(
    ("days", "kind", "said"),
    [
        (30, "warn", "The secret or certificate of Graph expires in 30 days, on 2026-12-21."),
        (7, "bad", "The secret or certificate of Graph expires in 7 days, on 2026-12-21."),
        (1, "bad", "The secret or certificate of Graph expires tomorrow, on 2026-12-21."),
        (0, "bad", "The secret or certificate of Graph expires today, 2026-12-21."),
        (-2, "bad", "The secret or certificate of Graph expired on 2026-12-21."),
    ],
)
def test_administrators_are_told_on_every_page(app: Flask, days: int, kind: str, said: str) -> None:
    create(app, replace(APPLICATION, role=Role.AVAILABLE), SecretChange())
    today = date(2026, 12, 21) - timedelta(days=days)

    with app.app_context():
        found = banners(db.session(), installation=installation_of(app), today=today)

    assert (kind, said) in [(banner.kind, str(banner.text)) for banner in found]


@pytest.mark.parametrize(("role", "days"), [(Role.AVAILABLE, 31), (Role.DRAFT, 3)])
def test_nobody_is_told_too_early_or_of_a_draft(app: Flask, role: Role, days: int) -> None:
    create(app, replace(APPLICATION, role=role), SecretChange())
    today = date(2026, 12, 21) - timedelta(days=days)

    with app.app_context():
        found = banners(db.session(), installation=installation_of(app), today=today)

    assert not [banner for banner in found if "expires" in str(banner.text)]
