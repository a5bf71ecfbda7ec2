"""Users of another program become servers with log-ins, which open the relay."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import zxcvbn
from flask import Flask
from sqlalchemy import select

from portal import audit
from portal.audit.models import AuditEntry
from portal.connections.models import ConnectionCheck
from portal.extensions import db
from portal.mail.addresses import Mailbox
from portal.servers import callers, log_ins, saving
from portal.servers.inheritance import load_settings
from portal.servers.log_ins import NewLogin
from portal.servers.senders import SenderRuling, own_sender, rule_on_sender
from portal.servers.stored import StoredServer, find_named
from portal.servers.values import ServerValues
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.servers.serving import by_login, organisation, read
from tests.settings_imports import samples

PAGE = "/settings-import"
STRONG = "vK3#xq8ZpL!m2Wd9TrBy"
USERS = f"""\
    - username: wiki
      password: {STRONG}
      allowedFrom: [wiki@contoso.test]
    - username: wiki
      password: {STRONG}
"""


def give(admin: Browser, text: str) -> str:
    """Paste a text; the path of its preview."""
    return str(admin.post(PAGE, {"source_text": text}).headers["Location"])


def server(app: Flask, name: str) -> StoredServer | None:
    with app.app_context():
        return find_named(db.session(), name)


def signs_in(app: Flask, username: str, password: str) -> str | None:
    """The name of the server that these stand for."""
    with app.app_context():
        caller = callers.caller_of_login(db.session(), username, password, now=datetime.now(UTC))
        return caller.server_name if caller else None


def test_a_user_keeps_name_and_a_good_password_and_gets_another_for_a_bad_one(portal: Flask, admin: Browser) -> None:
    path = give(admin, samples.SMTP2GRAPH + USERS)
    preview = admin.get(path)
    untouched = server(portal, "scanner")
    made = admin.post(path, {})
    again = admin.post(path, {}, page=PAGE)

    assert untouched is None
    assert "a new one: this one is missing or easily guessed" in preview.text
    assert "stays, not shown" in preview.text
    assert "receive.users[1]" in preview.text
    for page in (preview.text, made.text):
        assert "canary-of-a-user" not in page
        assert STRONG not in page
    assert (made.status_code, again.status_code) == (200, 404)
    assert made.headers["Cache-Control"] == "no-store"
    shown = dict(re.findall(r'id="(login-[a-z]+-[0-9])" value="([^"]+)"', made.text))
    assert shown["login-username-1"] == "scanner"
    assert shown["login-username-2"] == "wiki"
    assert "login-password-2" not in shown
    assert signs_in(portal, "scanner", "canary-of-a-user") is None
    assert signs_in(portal, "scanner", shown["login-password-1"]) == "scanner"
    assert signs_in(portal, "wiki", STRONG) == "wiki"
    assert signs_in(portal, shown["login-username-3"], shown["login-password-3"]) == "wiki 2"
    wiki = server(portal, "wiki")
    assert wiki is not None
    assert (wiki.values.allowed_senders, wiki.values.unlisted_sender) == (("wiki@contoso.test",), "refuse")


def test_no_password_of_a_user_stays_anywhere(portal: Flask, admin: Browser) -> None:
    admin.post(give(admin, samples.SMTP2GRAPH + USERS), {})

    with portal.app_context():
        told = str([entry.changes for entry in db.session.scalars(select(AuditEntry))])
        kept = str(db.session.scalars(select(ConnectionCheck.secrets)).all())
    assert "wiki" in told
    for secret in ("canary", STRONG):
        assert secret not in told + kept


def test_a_name_that_another_log_in_has_is_made_anew(portal: Flask, admin: Browser) -> None:
    box, now = portal.extensions["secret_box"], datetime.now(UTC)
    with portal.app_context(), unit_of_work() as session:
        other = saving.create(session, ServerValues(name="Scanner"), actor=audit.COMMAND_LINE, now=now)
        wanted = NewLogin("scanner", "")
        log_ins.create(session, other, wanted=wanted, box=box, actor=audit.COMMAND_LINE, now=now)

    path = give(admin, samples.SMTP2GRAPH)
    preview, made = admin.get(path), admin.post(path, {})

    assert "a new one, since it cannot be had here" in preview.text
    shown = dict(re.findall(r'id="(login-[a-z]+-[0-9])" value="([^"]+)"', made.text))
    assert shown["login-username-1"] != "scanner"
    assert signs_in(portal, shown["login-username-1"], shown["login-password-1"]) == "scanner 2"


def test_who_may_write_as_some_addresses_may_not_write_as_the_organisation(portal: Flask, admin: Browser) -> None:
    organisation(portal, from_address="office@contoso.test")
    admin.post(give(admin, samples.SMTP2GRAPH + USERS), {})

    wiki = by_login(portal, "wiki", STRONG)

    assert wiki is not None
    settings = read(portal, lambda session: load_settings(session, wiki.server_id))
    assert settings is not None
    assert rule_on_sender(wiki, settings, "wiki@contoso.test") == SenderRuling()
    assert "may not write as office@contoso.test" in str(rule_on_sender(wiki, settings, "office@contoso.test").refusal)
    assert own_sender(settings, wiki) == Mailbox("wiki@contoso.test")


def test_a_password_that_is_the_user_name_or_a_sender_is_made_anew(portal: Flask, admin: Browser) -> None:
    sender = "vk3-xq8zplm2w.d9trby@contoso.test"
    users = f"""\
    - username: {STRONG}
      password: {STRONG}
    - username: wiki
      password: {sender}
      allowedFrom: [{sender}]
"""
    path = give(admin, samples.SMTP2GRAPH + users)
    preview, made = admin.get(path), admin.post(path, {})

    assert "stays, not shown" not in preview.text
    assert len(re.findall('id="login-password-', made.text)) == 3
    assert signs_in(portal, STRONG, STRONG) is None
    assert signs_in(portal, "wiki", sender) is None


def test_passwords_are_judged_by_their_beginning_and_while_nobody_waits_for_the_database(
    portal: Flask, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    def in_no_unit_of_work(password: str, **_options: Any) -> dict[str, float]:
        with unit_of_work():  # raises where one is open
            judged.append(len(password))
        return {"guesses_log10": 30.0}

    monkeypatch.setattr(zxcvbn, "zxcvbn", in_no_unit_of_work)
    user = f"""\
    - username: wiki
      password: {STRONG * 10}
"""

    path = give(admin, samples.SMTP2GRAPH + user)
    when_given = list(judged)
    made = admin.post(path, {})

    assert when_given == []
    assert set(judged) == {32}
    assert signs_in(portal, "wiki", STRONG * 10) == "wiki"
    assert made.status_code == 200


def test_a_password_that_holds_what_is_known_of_its_log_in_is_easily_guessed() -> None:
    about = ("Scanner-Flur", "empfang@contoso.test", "@fabrikam.test", "hp")
    for known in ("scanner-flur", "SCANNER", "flur", "Empfang", "empfang@contoso.test", "fabrikam"):
        assert not log_ins.is_hard_to_guess(STRONG + known, about=about), known
    assert not log_ins.is_hard_to_guess(STRONG, about=(f"{STRONG}1",))
    in_other_letters = "gnafpme5c4nn3r-rulf-q9zu"
    assert not log_ins.is_hard_to_guess(in_other_letters, about=about)

    for password in (f"{STRONG}hp", in_other_letters):
        assert log_ins.is_hard_to_guess(password, about=("hp",)), password


def test_what_is_easily_guessed_is_no_log_ins_password() -> None:
    assert log_ins.is_hard_to_guess(STRONG, about=())
    for password in ("", "geheim", STRONG[:-1], "a" * 40, "correct horse battery", "password1234567890password"):
        assert not log_ins.is_hard_to_guess(password, about=()), password
