"""The one door for applications: whom a message is from, where it may go, and which way it takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask

from portal.connections.values import Role
from portal.mail.addresses import Mailbox
from portal.mail_service import NotAccepted
from portal.servers.quotas import QuotaExceeded, limits_of, take
from tests.connections.making import create, engine_of, smtp_values
from tests.servers.serving import (
    NOW,
    TO_ADA,
    caller,
    change,
    composed,
    organisation,
    parsed,
    read,
    server,
    submitted,
)

FROM_WIKI = "wiki@contoso.test"
SCAN = b"From: Scanner <scanner@contoso.test>\r\nTo: ada@contoso.test\r\nSubject: Scan\r\n\r\nA page.\r\n"


def test_a_message_carries_its_server_and_waits_on_its_route(portal: Flask) -> None:
    wiki = server(portal, from_address=FROM_WIKI, display_name="The wiki", reply_to="help@contoso.test")
    who = caller(portal, wiki)

    prepared = composed(portal, who)

    assert prepared.kind == "api"
    assert prepared.id.version == 7  # in the order of time
    assert prepared.route == f"server:{wiki}"
    assert (prepared.server_id, prepared.server_name, prepared.key_id) == (wiki, "Wiki", who.key_id)
    assert prepared.from_mailbox == Mailbox(FROM_WIKI, "The wiki")
    assert parsed(prepared)["Reply-To"] == "help@contoso.test"
    assert prepared.expires_at - prepared.created_at == timedelta(days=3)


def test_without_a_sender_of_its_own_the_way_out_decides(portal: Flask) -> None:
    prepared = composed(portal, caller(portal, server(portal)))

    assert prepared.from_mailbox is None


def test_hidden_recipients_stand_in_no_header(portal: Flask) -> None:
    wiki = server(portal, automatic_bcc="archive@contoso.test")
    mail = replace(TO_ADA, bcc=(Mailbox("boss@contoso.test"), Mailbox("ADA@contoso.test")))

    prepared = composed(portal, caller(portal, wiki), mail)

    assert prepared.rcpt_to == ("ada@contoso.test", "boss@contoso.test", "archive@contoso.test")
    assert b"boss" not in prepared.content
    assert b"archive" not in prepared.content


@pytest.mark.parametrize(
    ("named", "kept", "reply_to"),
    [
        (FROM_WIKI, FROM_WIKI, None),
        ("WIKI@contoso.test", "WIKI@contoso.test", None),
        ("team@lists.test", "team@lists.test", None),
        ("ceo@contoso.test", FROM_WIKI, "ceo@contoso.test"),
        ("wiki@evil.test", FROM_WIKI, "wiki@evil.test"),
    ],
)
def test_a_sender_that_is_not_listed_is_rewritten(portal: Flask, named: str, kept: str, reply_to: str | None) -> None:
    wiki = server(portal, from_address=FROM_WIKI, allowed_senders=("@lists.test",))

    prepared = composed(portal, caller(portal, wiki), replace(TO_ADA, from_mailbox=Mailbox(named)))

    assert prepared.from_mailbox is not None
    assert prepared.from_mailbox.address == kept
    assert parsed(prepared)["Reply-To"] == reply_to


def test_a_sender_that_is_not_listed_is_refused_where_the_server_says_so(portal: Flask) -> None:
    wiki = server(portal, from_address=FROM_WIKI, unlisted_sender="refuse")

    with pytest.raises(NotAccepted, match=r"Wiki may not write as ceo@contoso\.test, only as wiki@contoso") as refused:
        composed(portal, caller(portal, wiki), replace(TO_ADA, from_mailbox=Mailbox("ceo@contoso.test")))

    assert refused.value.field == "from"


def test_the_lists_of_a_key_are_kept(portal: Flask) -> None:
    wiki = server(portal, from_address=FROM_WIKI)
    who = caller(portal, wiki, allowed_senders=(FROM_WIKI,), allowed_recipients=("@contoso.test",))
    outside = replace(TO_ADA, cc=(Mailbox("ada@elsewhere.test"),))

    with pytest.raises(NotAccepted, match="only as wiki@contoso") as of_sender:
        composed(portal, who, replace(TO_ADA, from_mailbox=Mailbox("ceo@contoso.test")))
    with pytest.raises(NotAccepted, match=r"ada@elsewhere\.test is not among") as of_recipient:
        composed(portal, who, outside)

    assert composed(portal, who).rcpt_to == ("ada@contoso.test",)
    assert (of_sender.value.field, of_recipient.value.field) == ("from", "to")


def test_a_key_without_a_usable_address_must_name_one(portal: Flask) -> None:
    wiki = server(portal, from_address=FROM_WIKI, allowed_senders=("@sales.test",))
    by_domain = caller(portal, wiki, allowed_senders=("@sales.test",))
    beyond = caller(portal, wiki, allowed_senders=("ceo@contoso.test",))
    named = replace(TO_ADA, from_mailbox=Mailbox("ada@sales.test"))

    for who in (by_domain, beyond):
        with pytest.raises(NotAccepted, match="must name a From address"):
            composed(portal, who)
    with pytest.raises(NotAccepted, match="must name a From address"):
        composed(portal, beyond, replace(TO_ADA, from_mailbox=Mailbox("ceo@contoso.test")))

    assert composed(portal, by_domain, named).from_mailbox == Mailbox("ada@sales.test")


def test_a_key_with_a_list_is_not_given_the_sender_of_whatever_way_a_rule_chooses(portal: Flask) -> None:
    organisation(portal, from_address="org@contoso.test")
    who = caller(portal, server(portal), allowed_senders=("org@contoso.test",))

    assert composed(portal, who).from_mailbox == Mailbox("org@contoso.test")


def test_a_sender_whose_variable_is_gone_is_no_leave_to_write_as_anybody(
    portal: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_WIKI", FROM_WIKI)
    who = caller(portal, server(portal, from_address="%env:MAIL_WIKI%", unlisted_sender="refuse"))
    monkeypatch.delenv("MAIL_WIKI")

    with pytest.raises(NotAccepted, match="may not write as ceo"):
        composed(portal, who, replace(TO_ADA, from_mailbox=Mailbox("ceo@contoso.test")))


def test_a_team_key_writes_to_people_of_the_portal_alone(portal: Flask) -> None:
    who = caller(portal, server(portal), kind="team")

    prepared = composed(portal, who, people=("ada@contoso.test",))

    assert prepared.rcpt_to == ("ada@contoso.test",)
    with pytest.raises(NotAccepted, match="no person of this portal"):
        composed(portal, who, people=("grace@contoso.test",))


def test_switched_off_mail_is_held_unless_the_server_is_exempt(portal: Flask) -> None:
    organisation(portal, enabled=False)
    usual, exempt = server(portal), server(portal, "Alarm", is_exempt=True)

    held = composed(portal, caller(portal, usual))
    leaves = composed(portal, caller(portal, exempt))

    assert (held.held, leaves.held) == (True, False)


def test_a_server_that_was_switched_off_meanwhile_sends_nothing(portal: Flask) -> None:
    wiki = server(portal)
    who = caller(portal, wiki)
    change(portal, wiki, name="Wiki", is_enabled=False)

    with pytest.raises(NotAccepted, match="switched off") as refused:
        composed(portal, who)

    assert not refused.value.is_lasting


def test_html_gets_its_text_and_goes_where_the_server_wants_text_alone(portal: Flask) -> None:
    html = "<p>Good <b>morning</b></p><a href='https://contoso.test/x'>Open</a>"
    both, text_only = server(portal), server(portal, "Pager", format="text")
    mail = replace(TO_ADA, text=None, html=html)

    full = parsed(composed(portal, caller(portal, both), mail))
    plain = parsed(composed(portal, caller(portal, text_only), mail))

    assert full.get_content_type() == "multipart/alternative"
    assert plain.get_content_type() == "text/plain"
    assert plain.get_payload() == "Good morning\r\n\r\nOpen <https://contoso.test/x>\r\n"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": ()}, "to"),
        ({"text": None}, "text"),
        ({"subject": "a\r\nBcc: eve@evil.test"}, "subject"),
        ({"text": "x" * 2000}, "text"),
        ({"expires_in": timedelta(seconds=1)}, "expires_in_seconds"),
        ({"cc": tuple(Mailbox(f"a{number}@contoso.test") for number in range(3))}, "to"),
    ],
)
def test_what_cannot_be_sent_names_its_field(portal: Flask, changes: dict[str, object], field: str) -> None:
    wiki = server(portal, largest_message=1500, most_recipients=3)

    with pytest.raises(NotAccepted) as refused:
        composed(portal, caller(portal, wiki), replace(TO_ADA, **changes))  # type: ignore[arg-type]

    assert refused.value.field == field


def test_limits_of_a_server_are_kept_and_end_with_their_window(portal: Flask) -> None:
    connection_id = create(portal, smtp_values(role=Role.DEFAULT))
    wiki = server(portal, messages_per_minute=3, connection_id=connection_id)
    who, engine = caller(portal, wiki), engine_of(portal)

    limits = read(portal, lambda session: limits_of(session, who.server_id))
    left = [take(engine, who, limits, messages=1, now=NOW).remaining for _ in range(3)]
    with pytest.raises(QuotaExceeded, match="3 messages a minute") as refused:
        take(engine, who, limits, messages=1, now=NOW + timedelta(seconds=20))
    later = take(engine, who, limits, messages=2, now=NOW + timedelta(seconds=60))

    assert left == [2, 1, 0]
    assert refused.value.retry_after == 40
    assert (later.limit, later.remaining) == (3, 1)


def test_a_server_without_limits_has_none(portal: Flask) -> None:
    who = caller(portal, server(portal))

    limits = read(portal, lambda session: limits_of(session, who.server_id))

    assert take(engine_of(portal), who, limits, messages=1000, now=NOW).limit is None


def test_a_device_that_writes_as_somebody_else_is_rewritten_and_answers_go_there(portal: Flask) -> None:
    who = caller(portal, server(portal, "Floor", from_address="devices@contoso.test"))

    prepared = submitted(portal, who, SCAN)

    assert prepared.kind == "relay"
    assert prepared.from_mailbox == Mailbox("devices@contoso.test")
    assert prepared.mail_from is None
    message = parsed(prepared)
    assert message["From"] is None
    assert message["Reply-To"] == "Scanner <scanner@contoso.test>"


def test_what_a_device_leaves_out_is_added_and_what_it_says_stays(portal: Flask) -> None:
    who = caller(portal, server(portal, allowed_senders=("scanner@contoso.test",)))
    own = b"Message-ID: <1@scanner>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0100\r\nBcc: eve@evil.test\r\n" + SCAN

    added = submitted(portal, who, SCAN, received_line="from x by y;\r\n Mon, 1 Jan 2024 00:00:00 +0000")
    kept = submitted(portal, who, own)

    assert added.content.startswith(b"Received: from x by y;\r\n Mon, 1 Jan 2024 00:00:00 +0000\r\n")
    assert parsed(added)["Message-ID"] == added.message_id
    assert parsed(added)["Date"] == "Sat, 21 Nov 2026 12:00:00 +0000"
    assert kept.message_id == "<1@scanner>"
    assert parsed(kept)["Date"] == "Mon, 1 Jan 2024 00:00:00 +0100"
    assert b"eve" not in kept.content
    assert kept.from_mailbox == Mailbox("scanner@contoso.test", "Scanner")
    assert kept.content.endswith(b"\r\n\r\nA page.\r\n")
    assert kept.subject == "Scan"


def test_raw_letters_of_old_devices_become_seven_bit(portal: Flask) -> None:
    who = caller(portal, server(portal))
    content = (
        "Subject: Müll\r\nTo: Jürgen <ada@contoso.test>\r\nContent-Type: multipart/mixed; boundary=xx\r\n\r\n"
        "--xx\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--xx--\r\n"
    ).encode()

    prepared = submitted(portal, who, content)

    assert prepared.content.isascii()
    assert prepared.subject == "Müll"
    assert not prepared.needs_smtputf8
    [part] = parsed(prepared).get_payload()
    assert part.get_payload(decode=True).decode() == "Grüße"


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: a\nBcc: eve@evil.test\r\n\r\nx\r\n",
        b"Subject: a\r\n\r\nx\r.\r\n",
        b"Subject: a\0b\r\n\r\nx\r\n",
        b"Subject: a\r\n\r\n" + b"x" * 999 + b"\r\n",
        b"Received: x\r\n" * 51 + SCAN,
    ],
)
def test_bytes_that_may_not_leave_are_refused(portal: Flask, content: bytes) -> None:
    who = caller(portal, server(portal))

    with pytest.raises(NotAccepted) as refused:
        submitted(portal, who, content)

    assert refused.value.field == "content"
    assert refused.value.is_lasting


@pytest.mark.parametrize("content", [b"", b"no header at all\r\n", b"\r\n\r\n", b"From: nobody\r\n\r\n.\r\n"])
def test_a_message_without_a_header_gets_one(portal: Flask, content: bytes) -> None:
    prepared = submitted(portal, caller(portal, server(portal)), content)

    message = parsed(prepared)
    assert message["Message-ID"] == prepared.message_id
    assert message.get_payload() == content.replace(b"From: nobody\r\n", b"").removeprefix(b"\r\n").decode()
