"""What is stored when a message is queued, in whose transaction, and what it replaces."""

from __future__ import annotations

import zlib
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from portal.database import WRITING_OPTIONS, sqlite_path
from portal.mail.addresses import Mailbox
from portal.outbox import add, commands
from portal.outbox.models import Message
from portal.secret_box import SecretBox
from tests.outbox.conftest import CONTENT, NOW, SECRET, TEST, TEST_KEY, Outbox, prepared
from tests.outbox.scripted import CAPTURED, DEFERRED, FAILED, answers

OTHER_KEY = "another key that is long enough, too"
CANARY = b"canary-5f1d8a7c-reset-link"


def with_canary(id: UUID) -> bytes:
    return CONTENT % f"<{id}@contoso.test>".encode() + CANARY + b"\r\n"


def canary_is_on_disk(outbox: Outbox) -> bool:
    path = sqlite_path(outbox.engine)
    assert path is not None
    files = [path, Path(f"{path}-wal")]
    return any(CANARY in file.read_bytes() for file in files if file.exists())


def test_a_message_is_stored_with_its_cause_or_not_at_all(outbox: Outbox) -> None:
    with Session(outbox.engine) as session:
        session.connection(execution_options=WRITING_OPTIONS)
        add(session, prepared(), box=outbox.box)
        session.rollback()

    assert outbox.count(Message) == 0


def test_a_message_without_recipients_is_refused(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="without recipients"):
        outbox.add(rcpt_to=())


def test_what_leaves_is_what_was_queued_with_the_from_line_in_front(outbox: Outbox) -> None:
    id = outbox.add()

    outbox.send()

    (message,) = outbox.world.main.taken
    assert (
        message.content == b"From: Contoso Portal <portal@contoso.test>\r\n" + CONTENT % f"<{id}@contoso.test>".encode()
    )
    assert (message.mail_from, message.rcpt_to) == ("portal@contoso.test", ("ada@contoso.test",))


def test_a_message_with_a_sender_of_its_own_keeps_it(outbox: Outbox) -> None:
    outbox.add(from_mailbox=Mailbox("wiki@contoso.test", "Wiki"))
    outbox.add(from_mailbox=Mailbox("wiki@contoso.test", "Wiki"), mail_from="bounces@contoso.test")

    outbox.send()

    assert [(one.mail_from, one.content.split(b"\r\n")[0]) for one in outbox.world.main.taken] == [
        ("wiki@contoso.test", b"From: Wiki <wiki@contoso.test>"),
        ("bounces@contoso.test", b"From: Wiki <wiki@contoso.test>"),
    ]


def test_a_large_content_is_compressed_and_leaves_unchanged(outbox: Outbox) -> None:
    content = CONTENT % b"<large@contoso.test>" + b"line after line\r\n" * 2000
    id = outbox.add(content=content)
    body = outbox.body(id)

    outbox.send()

    assert body is not None
    assert (body.coding, zlib.decompress(body.content)) == ("zlib", content)
    assert outbox.world.main.taken[0].content.endswith(content)


def test_a_damaged_compressed_content_is_held(outbox: Outbox) -> None:
    id = outbox.add(content=CONTENT % b"<large@contoso.test>" + b"line after line\r\n" * 2000)
    outbox.set_body(id, content=b"\x78\x9c damaged")

    outbox.send()

    assert (outbox.state(id), outbox.delivery(id).held_reason) == ("held", "unreadable")


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_secret_body_is_sealed(outbox: Outbox, size: int) -> None:
    id = outbox.add(**SECRET, content=CONTENT % b"<s@contoso.test>" + CANARY + b"\r\n" + b"x" * size + b"\r\n")
    body = outbox.body(id)

    outbox.send()

    assert body is not None
    assert body.coding.startswith("sealed")
    assert CANARY not in body.content
    assert CANARY in outbox.world.main.taken[0].content


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_secret_body_is_never_on_the_disk_in_clear(outbox: Outbox) -> None:
    clear = outbox.add()
    outbox.set_body(clear, content=CANARY)
    assert canary_is_on_disk(outbox)
    outbox.set_body(clear, content=b"")
    outbox.checkpoint()
    id = UUID("00000000-0000-0000-0000-0000000000ff")

    outbox.add(id=id, **SECRET, content=with_canary(id))
    stored = canary_is_on_disk(outbox)
    outbox.send()

    assert (stored, canary_is_on_disk(outbox)) == (False, False)
    assert outbox.world.main.taken[0].content.endswith(CANARY + b"\r\n")


def test_a_secret_body_is_erased_when_it_was_sent(outbox: Outbox) -> None:
    id = outbox.add(**SECRET)

    outbox.send()

    assert (outbox.state(id), outbox.body(id)) == ("sent", None)


def test_a_secret_body_is_erased_when_it_failed_or_expired(outbox: Outbox) -> None:
    failed = outbox.add(**SECRET)
    outbox.world.main.then(answers(FAILED))
    outbox.send()
    expired = outbox.add(**SECRET)

    outbox.send(NOW + timedelta(hours=2))

    assert (outbox.state(failed), outbox.body(failed)) == ("failed", None)
    assert (outbox.state(expired), outbox.body(expired)) == ("expired", None)


def test_a_secret_body_stays_as_long_as_a_recipient_waits_for_it(outbox: Outbox) -> None:
    id = outbox.add(**SECRET, rcpt_to=("ada@contoso.test", "bob@contoso.test"))
    outbox.world.main.then(answers(FAILED, DEFERRED))
    outbox.send()
    while_waiting = outbox.body(id)

    outbox.send(NOW + timedelta(minutes=1))

    assert while_waiting is not None
    assert outbox.body(id) is None


def test_an_ordinary_body_stays_after_the_end(outbox: Outbox) -> None:
    id = outbox.add()

    outbox.send()

    assert outbox.body(id) is not None


def test_a_newer_reset_mail_cancels_the_older_that_waits(outbox: Outbox) -> None:
    older = outbox.add(**SECRET, replaces="password_reset:1")
    stranger = outbox.add(**SECRET, replaces="password_reset:2")

    newer = outbox.add(**SECRET, replaces="password_reset:1")

    assert [outbox.state(id) for id in (older, stranger, newer)] == ["cancelled", "queued", "queued"]
    assert outbox.body(older) is None


def test_a_reset_mail_that_has_left_is_not_cancelled(outbox: Outbox) -> None:
    older = outbox.add(**SECRET, replaces="password_reset:1")
    outbox.send()

    outbox.add(**SECRET, replaces="password_reset:1")

    assert outbox.state(older) == "sent"


def test_a_message_sealed_with_a_lost_key_is_held_and_can_be_released_when_it_is_back(outbox: Outbox) -> None:
    right = outbox.box
    outbox.box = SecretBox((OTHER_KEY,))
    id = outbox.add(**SECRET)
    outbox.box = right

    outbox.send()

    assert (outbox.state(id), outbox.delivery(id).held_reason) == ("held", "unreadable")
    assert outbox.world.main.tried == []
    outbox.box = SecretBox((TEST_KEY, OTHER_KEY))
    outbox.in_session(lambda session: commands.release(session, id, now=NOW))
    outbox.send()
    assert outbox.state(id) == "sent"


def test_a_test_message_that_cannot_be_opened_has_failed(outbox: Outbox) -> None:
    id = outbox.add(**TEST)
    outbox.set_body(id, coding="sealed")

    outbox.send()

    assert outbox.state(id) == "failed"


def test_a_message_that_names_its_sender_twice_is_never_sent(outbox: Outbox) -> None:
    id = outbox.add(content=b"From: eve@evil.test\r\n" + CONTENT % b"<x@contoso.test>")

    outbox.send()

    assert (outbox.state(id), outbox.attempts(id)[0].code) == ("failed", "outbox.malformed")
    assert outbox.world.main.tried == []


@pytest.mark.parametrize("kind", [{}, SECRET])
def test_a_captured_message_is_kept_complete_for_a_week(outbox: Outbox, kind: dict[str, object]) -> None:
    id = outbox.add(**kind)
    outbox.world.main.then(answers(CAPTURED, kept=True))

    outbox.send()

    body = outbox.body(id)
    assert body is not None
    assert body.erase_after == NOW + timedelta(days=7)
    assert body.coding == ("sealed" if kind else "plain")
    assert (outbox.state(id), outbox.delivery(id).is_captured) == ("sent", True)
    assert outbox.attempts(id)[0].reply_text == "captured"
