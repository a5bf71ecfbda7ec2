"""What is fixed for each kind of message."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portal.message_templates.kinds import KINDS, UnknownKind, kind
from portal.paths import TEMPLATES


@pytest.mark.parametrize(
    ("name", "is_secret", "lane", "schedule", "lifetime"),
    [
        ("test", False, "normal", "once", timedelta(minutes=10)),
        ("password_reset", True, "secret", "secret", timedelta(hours=1)),
        ("sign_in_hint", False, "normal", "normal", timedelta(hours=1)),
        ("password_changed", False, "normal", "alert", timedelta(hours=24)),
        ("invitation", True, "normal", "normal", timedelta(days=7)),
        ("account_validation", True, "secret", "secret", timedelta(hours=24)),
        ("address_changed", False, "normal", "alert", timedelta(hours=24)),
        ("second_factor_changed", False, "normal", "alert", timedelta(hours=24)),
        ("second_factor_removed", False, "normal", "alert", timedelta(hours=24)),
        ("connection_alert", False, "normal", "alert", timedelta(hours=24)),
        ("expiry_warning", False, "normal", "alert", timedelta(days=3)),
    ],
)
def test_a_kind_says_how_urgent_and_how_secret_it_is(
    name: str, is_secret: bool, lane: str, schedule: str, lifetime: timedelta
) -> None:
    one = kind(name)

    assert (one.name, one.is_secret, one.lane, one.schedule, one.lifetime) == (
        name,
        is_secret,
        lane,
        schedule,
        lifetime,
    )


def test_an_unknown_kind_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownKind):
        kind("newsletter")


def test_every_kind_has_wording_and_every_wording_a_kind() -> None:
    folders = {path.name for path in (TEMPLATES / "mail").iterdir() if path.is_dir()}

    assert folders == set(KINDS)
    for name in KINDS:
        files = {path.name for path in (TEMPLATES / "mail" / name).iterdir()}
        assert files == {"subject.txt", "body.txt", "body.html"}
