"""What pages and the command line read of messages, and what a person may do to them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from portal.outbox import commands, history
from portal.outbox.states import State
from portal.secret_box import Unreadable
from portal.transports import ConnectionFault, Reply, Step, Verdict
from tests.outbox.conftest import NOW, SECRET, Outbox
from tests.outbox.scripted import CAPTURED, DEFERRED, FAILED, MAIN, answers


def find(outbox: Outbox, id: UUID) -> history.MessageView:
    found = outbox.in_session(lambda session: history.find(session, id))
    assert isinstance(found, history.MessageView)
    return found


def test_a_message_tells_its_whole_story(outbox: Outbox) -> None:
    id = outbox.add(requested_by=UUID(int=7))
    outbox.world.main.then(answers(DEFERRED))
    outbox.send()

    outbox.send(NOW + timedelta(minutes=2))

    message = find(outbox, id)
    assert (message.status, message.kind, message.to, message.requested_by) == (
        "sent",
        "password_changed",
        ("ada@contoso.test",),
        UUID(int=7),
    )
    assert [(one.status, str(one.reply), one.connection_name, one.step) for one in message.attempts] == [
        ("deferred", "450 4.2.0 mailbox busy", "main", "recipient"),
        ("sent", "250 2.0.0 queued as 4711", "main", "content"),
    ]
    assert message.attempts[0].connection_id == MAIN
    assert message.is_ended


def test_a_waiting_message_says_when_it_is_tried_next(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(answers(DEFERRED))

    outbox.send()

    (delivery,) = find(outbox, id).deliveries
    assert delivery.next_try_at is not None
    assert timedelta(seconds=47) < delivery.next_try_at - NOW < timedelta(seconds=73)
    assert delivery.recipients[0].code == "smtp.deferred"


def test_what_was_seen_is_told_where_no_reply_came(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(ConnectionFault(Step.TLS, code="tls.expired_certificate", seen="expired yesterday"))

    outbox.send()

    (attempt,) = find(outbox, id).attempts
    assert (attempt.reply, attempt.seen, attempt.code) == (None, "expired yesterday", "tls.expired_certificate")


def test_a_held_message_says_why(outbox: Outbox) -> None:
    id = outbox.add(held=True)

    (delivery,) = find(outbox, id).deliveries

    assert str(delivery.held_because).startswith("Sending is switched off.")


def test_a_lost_worker_is_told_in_words(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.lose(id)

    outbox.send()

    assert str(find(outbox, id).attempts[0].reason).startswith("The worker stopped")


def test_a_lost_answer_is_told_in_words(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(answers((Verdict.UNCERTAIN, Reply(0, ""), "")))

    outbox.send()

    assert str(find(outbox, id).attempts[0].reason).startswith("The message was handed over, but")


def test_a_reply_with_what_no_database_can_store_is_stored_without_it(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(answers((FAILED[0], Reply(550, "no\x00such\ud800user" + "x" * 2000, "5.1.1"), "")))

    outbox.send()

    assert outbox.state(id) == "failed"
    assert len(outbox.attempts(id)[0].reply_text) <= 1000


def test_an_unknown_message_is_none(outbox: Outbox) -> None:
    assert outbox.in_session(lambda session: history.find(session, uuid4())) is None


def test_the_newest_messages_come_first_page_by_page(outbox: Outbox) -> None:
    ids = [outbox.add(created_at=NOW + timedelta(seconds=number // 2)) for number in range(5)]

    first = outbox.in_session(lambda session: history.recent(session, limit=3))
    second = outbox.in_session(lambda session: history.recent(session, limit=3, before=first[-1].id))

    assert {one.id for one in first + second} == set(ids)
    assert len(first) == 3
    assert [one.created_at for one in first + second] == sorted(
        (one.created_at for one in first + second), reverse=True
    )


def test_messages_are_listed_by_status(outbox: Outbox) -> None:
    outbox.add()
    outbox.world.main.then(answers(FAILED))
    outbox.send()
    waiting = outbox.add()

    found = outbox.in_session(lambda session: history.recent(session, status=State.QUEUED))

    assert [(one.id, one.status) for one in found] == [(waiting, "queued")]


def test_states_are_counted(outbox: Outbox) -> None:
    outbox.add()
    outbox.send()
    outbox.add()
    outbox.send(NOW + timedelta(days=1))
    outbox.add(created_at=NOW + timedelta(days=2))

    found = outbox.in_session(lambda session: history.counts(session, since=NOW + timedelta(hours=1)))

    assert found == {"queued": 1, "sent": 1}


def test_captured_mail_is_listed_and_read(outbox: Outbox) -> None:
    outbox.add()
    outbox.send()
    outbox.world.main.always = answers(CAPTURED, kept=True)
    secret = outbox.add(**SECRET)
    outbox.send()

    listed = outbox.in_session(history.captured)
    content = outbox.in_session(lambda session: history.captured_content(session, secret, box=outbox.box))

    assert [(one.id, one.captured, one.is_secret) for one in listed] == [(secret, True, True)]
    assert content.startswith(b"From: Contoso Portal <portal@contoso.test>\r\nSubject: Hello\r\n")


def test_the_content_of_mail_that_left_is_not_read(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.send()

    assert outbox.in_session(lambda session: history.captured_content(session, id, box=outbox.box)) is None


def test_damaged_captured_mail_is_unreadable(outbox: Outbox) -> None:
    id = outbox.add(**SECRET)
    outbox.world.main.then(answers(CAPTURED, kept=True))
    outbox.send()
    outbox.set_body(id, content=b"v1.damaged")

    content = outbox.in_session(lambda session: history.captured_content(session, id, box=outbox.box))

    assert isinstance(content, Unreadable)


def test_retry_tries_a_deferred_message_at_once(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(answers(DEFERRED))
    outbox.send()

    outbox.in_session(lambda session: commands.retry(session, id, now=NOW))
    outbox.send()

    assert outbox.state(id) == "sent"
    assert outbox.world.main.message_ids == [f"<{id}@contoso.test>"]


def test_retry_releases_a_held_message(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.set(id, state="held", held_reason="crashes_worker", lost_leases=3)

    outbox.in_session(lambda session: commands.retry(session, id, now=NOW))
    outbox.send()

    assert outbox.state(id) == "sent"


@pytest.mark.parametrize("command", [commands.retry, commands.release])
def test_what_is_held_since_sending_is_switched_off_cannot_be_released(outbox: Outbox, command: object) -> None:
    id = outbox.add(held=True)

    with pytest.raises(commands.NotPossible, match="Sending is switched off"):
        outbox.in_session(lambda session: command(session, id, now=NOW))  # type: ignore[operator]

    assert outbox.state(id) == "held"


def test_an_ended_message_is_not_tried_again(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.send()

    with pytest.raises(commands.NotPossible, match="has ended as sent"):
        outbox.in_session(lambda session: commands.retry(session, id, now=NOW))


def test_a_message_that_is_being_handed_over_cannot_be_cancelled(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.set(id, state="sending")

    with pytest.raises(commands.NotPossible, match="handed over at this moment"):
        outbox.in_session(lambda session: commands.cancel(session, id, now=NOW))


def test_a_claimed_message_can_be_cancelled_and_is_not_sent(outbox: Outbox) -> None:
    first, second = outbox.add(), outbox.add()

    def cancel_second(message: object, may_proceed: object) -> object:
        outbox.in_session(lambda session: commands.cancel(session, second, now=NOW))
        return answers()(message, may_proceed)  # type: ignore[arg-type]

    outbox.world.main.then(cancel_second)  # type: ignore[arg-type]
    outbox.settings = outbox.with_settings(slice_size=1)
    outbox.send()

    assert [outbox.state(id) for id in (first, second)] == ["sent", "cancelled"]
    assert len(outbox.world.main.tried) == 1


def test_cancelling_a_secret_message_erases_its_body(outbox: Outbox) -> None:
    id = outbox.add(**SECRET)

    outbox.in_session(lambda session: commands.cancel(session, id, now=NOW))

    assert outbox.body(id) is None


def test_there_is_no_command_for_a_message_that_is_none(outbox: Outbox) -> None:
    with pytest.raises(commands.NotPossible, match="no message with this number"):
        outbox.in_session(lambda session: commands.cancel(session, uuid4(), now=NOW))
