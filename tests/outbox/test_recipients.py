"""Recipients that fare differently: split in the commit that records the reply, and nobody is mailed twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from portal.outbox import history
from portal.transports import OutgoingMessage, PermanentError, Reply, SendReport, Step, Verdict
from tests.outbox.conftest import NOW, Outbox
from tests.outbox.scripted import CAPTURED, DEFERRED, FAILED, SENT, UNCERTAIN, answers, report

THREE = ("ada@contoso.test", "bob@contoso.test", "eve@contoso.test")


def test_accepted_deferred_and_refused_in_one_round(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)
    outbox.world.main.then(answers(SENT, DEFERRED, FAILED))

    outbox.send()

    assert {row.state: row.rcpt_to for row in outbox.deliveries(id)} == {
        "sent": ["ada@contoso.test"],
        "deferred": ["bob@contoso.test"],
        "failed": ["eve@contoso.test"],
    }
    assert outbox.in_session(lambda session: history.find(session, id)).status == "deferred"


def test_only_the_deferred_recipient_is_mailed_again(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)
    outbox.world.main.then(answers(SENT, DEFERRED, FAILED))
    outbox.send()

    outbox.send(NOW + timedelta(minutes=2))

    assert [message.rcpt_to for message in outbox.world.main.tried] == [THREE, ("bob@contoso.test",)]
    assert outbox.in_session(lambda session: history.find(session, id)).status == "failed"


def test_each_recipient_keeps_its_own_reply(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)
    full = (Verdict.FAILED, Reply(552, "mailbox full", "5.2.2"), "smtp.mailbox_full")
    outbox.world.main.then(answers(FAILED, full, FAILED))

    outbox.send()

    (delivery,) = outbox.in_session(lambda session: history.find(session, id)).deliveries
    assert [(found.address, str(found.reply), found.code) for found in delivery.recipients] == [
        ("ada@contoso.test", "550 5.1.1 no such user", "smtp.recipient_unknown"),
        ("bob@contoso.test", "552 5.2.2 mailbox full", "smtp.mailbox_full"),
        ("eve@contoso.test", "550 5.1.1 no such user", "smtp.recipient_unknown"),
    ]


def test_recipients_beyond_what_the_server_takes_go_at_once(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)
    too_many = (Verdict.DEFERRED, Reply(452, "too many recipients", "4.5.3"), "smtp.too_many_recipients")
    outbox.world.main.then(answers(SENT, too_many))

    outbox.send()

    assert [message.rcpt_to for message in outbox.world.main.tried] == [THREE, ("bob@contoso.test", "eve@contoso.test")]
    assert {row.state for row in outbox.deliveries(id)} == {"sent"}
    assert max(row.attempt_number for row in outbox.deliveries(id)) == 1


def test_the_end_is_told_once_when_the_last_recipient_has_ended(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)
    outbox.world.main.then(answers(SENT, DEFERRED, SENT))
    outbox.send()
    told_early = list(outbox.ended)

    outbox.send(NOW + timedelta(minutes=2))

    assert told_early == []
    assert outbox.ended == [(id, "sent")]


def test_a_lost_answer_concerns_only_those_who_were_accepted(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)
    outbox.world.main.then(answers(UNCERTAIN, FAILED, UNCERTAIN))

    outbox.send()

    assert {row.state: row.rcpt_to for row in outbox.deliveries(id)} == {
        "uncertain": ["ada@contoso.test", "eve@contoso.test"],
        "failed": ["bob@contoso.test"],
    }


def test_a_message_to_many_is_captured_whole(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)
    outbox.world.main.then(answers(CAPTURED, kept=True))

    outbox.send()

    (row,) = outbox.deliveries(id)
    assert (row.state, row.is_captured) == ("sent", True)


def refuse_whoever_names_eve(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
    """As services do that answer once for all recipients, without saying which is meant."""
    assert may_proceed()
    if "eve@contoso.test" in message.rcpt_to:
        said = Reply(400, "At least one recipient is not valid.")
        raise PermanentError(Step.RECIPIENT, code="graph.recipients_refused", reply=said)
    return report(message)


def test_one_bad_recipient_that_nobody_names_keeps_no_other_from_its_mail(outbox: Outbox) -> None:
    others = tuple(f"{number}@contoso.test" for number in range(8))
    outbox.world.main.always = refuse_whoever_names_eve
    id = outbox.add(rcpt_to=(*others[:5], "eve@contoso.test", *others[5:]))

    outbox.send()

    found = outbox.in_session(lambda session: history.find(session, id))
    assert {one.address for one in found.recipients if one.status == "failed"} == {"eve@contoso.test"}
    assert sorted(outbox.world.main.recipients) == sorted(others)
    assert len(outbox.world.main.tried) <= 2 * len(others)
    assert found.status == "failed"


def test_a_single_recipient_that_is_refused_has_failed(outbox: Outbox) -> None:
    outbox.world.main.always = refuse_whoever_names_eve
    id = outbox.add(rcpt_to=("eve@contoso.test",))

    outbox.send()

    assert outbox.state(id) == "failed"
    assert len(outbox.world.main.tried) == 1
