"""Who a key, a log-in or a network stands for, and when it stands for nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.servers import callers, keys, log_ins
from portal.servers.models import Server, ServerKey
from portal.servers.stored import ChangeRefused
from tests.servers.serving import ADA, NOW, by_key, by_login, change, done, key, login, read, server


def test_a_key_stands_for_its_server_with_its_scopes_and_lists(portal: Flask) -> None:
    wiki = server(portal)

    found = by_key(portal, key(portal, wiki, scopes=("send", "read"), kind="team", allowed_senders=("@contoso.test",)))

    assert found is not None
    assert (found.server_id, found.server_name, found.means, found.kind) == (wiki, "Wiki", "key", "team")
    assert found.scopes == {"send", "read"}
    assert found.allowed_senders == ("@contoso.test",)


def test_nothing_of_a_key_is_stored_but_its_hash_and_its_start(portal: Flask) -> None:
    made = key(portal, server(portal))

    with portal.app_context():
        row = db.session().execute(text("select * from server_key")).one()
        entry = db.session().execute(text("select changes from audit_entry where action = 'server.key_created'")).one()

    secret = made[14:]
    assert secret not in str(row)
    assert secret not in str(entry)


@pytest.mark.parametrize("wrong", ["", "mp_live_", "mp_live_" + "a" * 43, "\0", "\ud800", "a" * 5000])
def test_an_unknown_key_stands_for_nobody(portal: Flask, wrong: str) -> None:
    key(portal, server(portal))

    assert by_key(portal, wrong) is None


def test_a_key_dies_when_it_expires_is_revoked_or_its_server_is_switched_off(portal: Flask) -> None:
    wiki = server(portal)
    expiring = key(portal, wiki, expires_at=NOW + timedelta(hours=1))
    revoked = key(portal, wiki)
    other = key(portal, wiki)
    revoked_id = read(portal, lambda session: session.scalars(_key_of(revoked)).one().id)
    done(portal, lambda session: keys.revoke(session, wiki, revoked_id, actor=ADA, now=NOW))

    alive = by_key(portal, expiring)
    late = by_key(portal, expiring, NOW + timedelta(hours=1))
    gone = by_key(portal, revoked)
    change(portal, wiki, name="Wiki", is_enabled=False)
    off = by_key(portal, other)

    assert alive is not None
    assert (late, gone, off) == (None, None, None)


def test_while_a_key_is_replaced_both_work_for_seven_days(portal: Flask) -> None:
    wiki = server(portal)
    old = key(portal, wiki, scopes=("read",), name="nightly")
    old_id = read(portal, lambda session: session.scalars(_key_of(old)).one().id)

    new = done(portal, lambda session: keys.rotate(session, wiki, old_id, actor=ADA, now=NOW)).text

    found = by_key(portal, new)
    assert found is not None
    assert found.scopes == {"read"}
    assert by_key(portal, old, NOW + timedelta(days=6)) is not None
    assert by_key(portal, old, NOW + timedelta(days=7)) is None
    with pytest.raises(ChangeRefused, match="takes the place"):
        done(portal, lambda session: keys.rotate(session, wiki, old_id, actor=ADA, now=NOW))
    done(portal, lambda session: keys.revoke(session, wiki, found.key_id, actor=ADA, now=NOW))
    third = done(portal, lambda session: keys.rotate(session, wiki, old_id, actor=ADA, now=NOW)).text
    assert by_key(portal, third) is not None


def test_a_replacement_lasts_as_long_as_the_key_did_and_its_audit_row_names_that(portal: Flask) -> None:
    wiki = server(portal)
    old = key(portal, wiki, name="nightly", expires_at=NOW + timedelta(days=30))
    old_id = read(portal, lambda session: session.scalars(_key_of(old)).one().id)
    later = NOW + timedelta(days=20)

    def rotated() -> keys.Replacement:
        return done(portal, lambda session: keys.rotate(session, wiki, old_id, actor=ADA, now=later))

    second = rotated()
    second_id = read(portal, lambda session: session.scalars(_key_of(second.text)).one().id)
    done(portal, lambda session: keys.revoke(session, wiki, second_id, actor=ADA, now=later))
    third = rotated()

    assert second.expires_at == third.expires_at == later + timedelta(days=30)
    assert by_key(portal, third.text, later + timedelta(days=29)) is not None
    assert by_key(portal, third.text, later + timedelta(days=30)) is None
    recorded = read(portal, lambda session: session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()[-1])
    assert recorded.changes["replaces"] == [None, f"nightly ({old[:12]}…)"]
    assert third.text not in repr(third)


def test_a_key_of_another_server_cannot_be_revoked_through_this_one(portal: Flask) -> None:
    wiki, scanner = server(portal), server(portal, "Scanner")
    made = key(portal, wiki)
    key_id = read(portal, lambda session: session.scalars(_key_of(made)).one().id)

    with pytest.raises(ChangeRefused):
        done(portal, lambda session: keys.revoke(session, scanner, key_id, actor=ADA, now=NOW))

    assert by_key(portal, made) is not None


def test_a_log_in_stands_for_its_server_with_the_right_password_alone(portal: Flask) -> None:
    wiki = server(portal)
    made = login(portal, wiki, allowed_recipients=("@contoso.test",))

    found = by_login(portal, made.username, made.password)

    assert found is not None
    assert (found.server_id, found.means, found.allowed_recipients) == (wiki, "login", ("@contoso.test",))
    assert by_login(portal, made.username, made.password[:-1]) is None
    assert by_login(portal, "nobody", made.password) is None
    assert by_login(portal, made.username + "\0", made.password) is None
    change(portal, wiki, name="Wiki", is_enabled=False)
    assert by_login(portal, made.username, made.password) is None


def test_cram_md5_works_where_it_was_switched_on_before_the_password_was_made(portal: Flask) -> None:
    wiki = server(portal)
    hashed = login(portal, wiki)
    change(portal, wiki, name="Wiki", allows_cram_md5=True)
    sealed = login(portal, wiki)
    box = portal.extensions["secret_box"]

    def password_of(username: str) -> str | None:
        found = read(portal, lambda session: callers.login_for_cram_md5(session, username, box=box))
        return found[1] if found else None

    assert password_of(hashed.username) is None
    assert password_of(sealed.username) == sealed.password
    change(portal, wiki, name="Wiki", allows_cram_md5=False)
    assert password_of(sealed.username) is None
    assert by_login(portal, sealed.username, sealed.password) is not None
    change(portal, wiki, name="Wiki", allows_cram_md5=True)
    assert password_of(sealed.username) is None


def test_a_renewed_password_ends_the_former(portal: Flask) -> None:
    wiki = server(portal)
    made = login(portal, wiki)
    [stored] = read(portal, lambda session: log_ins.of_server(session, wiki))
    box = portal.extensions["secret_box"]

    again = done(portal, lambda one: log_ins.renew_password(one, wiki, stored.id, box=box, actor=ADA, now=NOW))

    assert by_login(portal, made.username, made.password) is None
    assert by_login(portal, again.username, again.password) is not None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.9", "Printer"),  # the narrower network
        ("192.0.2.100", "Floor"),
        ("::ffff:192.0.2.100", "Floor"),
        ("192.0.2.200", None),  # its own server is switched off, and the wider one does not let it in
        ("2001:db8::5", "Floor"),
        ("198.51.100.1", None),
        ("2001:db9::1", None),
        ("no address", None),
        ("", None),
    ],
)
def test_a_client_is_known_by_the_narrowest_network(portal: Flask, address: str, name: str | None) -> None:
    server(portal, "Floor", networks=("192.0.2.0/24", "2001:db8::/64"))
    server(portal, "Printer", networks=("192.0.2.9/32",))
    server(portal, "Off", networks=("192.0.2.200/32",), is_enabled=False)

    found = read(portal, lambda session: callers.caller_of_network(session, address, now=NOW))

    assert (found.server_name if found else None) == name


def test_old_tls_is_for_the_listed_networks_alone(portal: Flask) -> None:
    server(portal, legacy_networks=("192.0.2.0/24",), networks=("198.51.100.0/24",))

    allowed = [read(portal, lambda session, one=one: callers.is_legacy_client(session, one)) for one in _CLIENTS]

    assert allowed == [True, False, False]


_CLIENTS = ("192.0.2.7", "198.51.100.7", "rubbish")


def test_when_a_server_was_seen_is_written_once_a_minute(portal: Flask) -> None:
    wiki = server(portal)
    found = by_key(portal, key(portal, wiki))
    assert found is not None
    with portal.app_context():
        engine = db.engine
        for seconds in (0, 30, 61):
            callers.note_seen(engine, found, now=NOW + timedelta(seconds=seconds))
            seen = db.session().scalar(select(Server.last_seen_at))
            used = db.session().scalar(select(ServerKey.last_used_at))
            db.session().rollback()

            assert seen == used == NOW + timedelta(seconds=61 if seconds == 61 else 0)


def _key_of(text: str):  # type: ignore[no-untyped-def]
    return select(ServerKey).where(ServerKey.hash == keys.key_hash(text))
