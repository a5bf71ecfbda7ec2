"""Sign-in as the host itself, as a connection's setting: no user name, no password, and a word on what it takes."""

from __future__ import annotations

import sys

import pytest
from flask import Flask

from portal import audit, settings_file
from portal.connections import make_section
from portal.connections.labels import AUTHS, default_credentials_note
from portal.connections.secrets import needed_secret
from portal.connections.smtp_values import SMTPValues
from portal.transaction import unit_of_work
from portal.transports.kerberos import is_installed
from portal.transports.smtp_settings import Auth
from tests.conftest import missing
from tests.connections.making import NOW, installation_of, stored

FILE = b"""\
connections:
  - {name: main, method: smtp, role: default, host: smtp.contoso.test, port: 587, security: starttls,
     auth: default_credentials, from_address: portal@contoso.test}
"""


def test_a_connection_that_signs_in_as_this_host_is_applied_without_user_name_and_password(portal: Flask) -> None:
    section = make_section(installation_of(portal).box)
    node = settings_file.read(FILE, follow=lambda reference: "")

    with portal.app_context(), unit_of_work() as session:
        settings_file.apply(session, node, [section], actor=audit.COMMAND_LINE, now=NOW)

    main = stored(portal, "main")
    assert main.values.smtp.auth is Auth.DEFAULT_CREDENTIALS
    assert main.values.smtp.username == ""
    assert needed_secret(main.values) is None


def test_signing_in_as_this_host_needs_no_password_and_any_other_sign_in_does() -> None:
    needing = [auth for auth in Auth if SMTPValues(auth=auth).needs_password]

    assert Auth.DEFAULT_CREDENTIALS not in needing
    assert Auth.NONE not in needing
    assert {Auth.PASSWORD, Auth.PLAIN, Auth.LOGIN, Auth.OAUTHBEARER} <= set(needing)


def test_the_setting_survives_being_stored() -> None:
    values = SMTPValues(host="smtp.contoso.test", auth=Auth.DEFAULT_CREDENTIALS)

    assert SMTPValues.from_json(values.to_json()) == values
    assert values.to_json()["auth"] == "default_credentials"


def test_the_form_offers_it_by_name() -> None:
    assert str(AUTHS[Auth.DEFAULT_CREDENTIALS]) == ("This host's own identity (default credentials: Kerberos, or NTLM)")


def test_the_form_says_how_to_install_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)

    note = str(default_credentials_note())

    assert "“make kerberos”" in note
    assert "apt install gcc python3-dev libkrb5-dev" in note


def test_the_form_says_that_nothing_is_asked_or_kept_where_all_is_installed() -> None:
    if not is_installed():
        missing("the portal's extra “kerberos” (make kerberos)")

    assert str(default_credentials_note()).endswith("No user name or password is asked or kept.")
