"""While the first way out of a route is paused the next one takes its mail, as itself; back at once when it works."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest

from portal.mail.addresses import Mailbox
from portal.outbox import resume
from portal.outbox.pausing import PROBE_EVERY, PROBE_SIGN_IN_EVERY
from portal.transports import (
    ConnectionFault,
    OutgoingMessage,
    PermanentError,
    QuotaReached,
    Reply,
    Step,
    TransientError,
    Verdict,
)
from tests.outbox.conftest import CONTENT, NOW, TEST, Outbox, StartWorker, until
from tests.outbox.scripted import MAIN, OTHER, PORTAL, Server, answers, way_out

FAULT = ConnectionFault(Step.SETTINGS, code="smtp.bad_credentials", seen="the password is wrong")
DEAD_GRANT = ConnectionFault(Step.TOKEN, code="microsoft.grant_dead", seen="the grant was revoked")
AWAY = TransientError(Step.CONNECT, code="network.connection_refused", seen="connection refused")
LIMIT = QuotaReached(Step.CONTENT, code="smtp.limit", seen="limit reached", retry_after=timedelta(minutes=20))
TOO_LARGE = PermanentError(Step.CONTENT, code="graph.message_too_large", seen="it takes 3000000 at once")
TOO_LARGE_AT_DATA = answers((Verdict.FAILED, Reply(552, "too big", "5.3.4"), "smtp.message_too_large"))
THIRD = UUID("00000000-0000-0000-0000-00000000000c")
DESK = Mailbox("desk@fabrikam.test", "Desk")
WIKI = Mailbox("wiki@contoso.test", "Wiki")


@pytest.fixture
def outbox(outbox: Outbox) -> Outbox:
    """The default and one fallback, which sends as somebody else."""
    fallback = replace(way_out(OTHER, from_mailbox=DESK), is_fallback=True)
    outbox.world.lead("default", (way_out(MAIN), fallback))
    outbox.world.lead(f"connection:{OTHER}", (fallback,))
    return outbox


def taken_by_fallback(outbox: Outbox) -> OutgoingMessage:
    [message] = outbox.world.other.taken
    return message


def header(message: OutgoingMessage, name: str) -> str | None:
    value = message_from_bytes(message.content, policy=policy.default)[name]
    return None if value is None else str(value)


def send_by_fallback(outbox: Outbox, **changes: Any) -> OutgoingMessage:
    """The message that leaves by the fallback, since the default is at fault."""
    outbox.world.main.always = FAULT
    outbox.add(**changes)
    outbox.send()
    return taken_by_fallback(outbox)


@pytest.mark.parametrize("fault", [FAULT, DEAD_GRANT, LIMIT])
def test_what_met_the_fault_leaves_by_the_fallback_at_once(outbox: Outbox, fault: Exception) -> None:
    outbox.world.main.always = fault
    message_ids = [outbox.add() for _ in range(3)]

    outbox.send()

    assert outbox.states() == ["sent", "sent", "sent"]
    assert len(outbox.world.main.tried) == 1
    assert len(outbox.world.other.taken) == 3
    assert [one.connection_id for one in outbox.attempts(message_ids[0])] == [MAIN, OTHER]


def test_a_server_that_is_away_three_times_hands_over_to_the_fallback(outbox: Outbox) -> None:
    outbox.world.main.always = AWAY
    for _ in range(3):
        outbox.add()
        outbox.send()

    last = outbox.add()
    outbox.send()

    assert outbox.state(last) == "sent"
    assert len(outbox.world.other.taken) == 1


def test_while_the_default_works_the_fallback_takes_nothing(outbox: Outbox) -> None:
    outbox.add()

    outbox.send()

    assert len(outbox.world.main.taken) == 1
    assert outbox.world.other.tried == []


def test_the_default_is_taken_again_as_soon_as_it_is_mended(outbox: Outbox) -> None:
    send_by_fallback(outbox)
    outbox.world.main.always = None
    outbox.in_session(lambda session: resume(session, MAIN))

    outbox.add()
    outbox.send()

    assert len(outbox.world.main.taken) == 1
    assert len(outbox.world.other.taken) == 1


def test_the_probe_of_the_default_is_one_message_and_brings_it_back(outbox: Outbox) -> None:
    send_by_fallback(outbox)
    outbox.world.main.always = None
    for _ in range(3):
        outbox.add()

    outbox.send(NOW + PROBE_EVERY)
    outbox.add()
    outbox.send(NOW + PROBE_EVERY)

    assert len(outbox.world.main.taken) >= 2
    assert set(outbox.states()) == {"sent"}


def test_a_probe_that_fails_sends_its_message_by_the_fallback(outbox: Outbox) -> None:
    send_by_fallback(outbox)
    probe = outbox.add()

    outbox.send(NOW + PROBE_EVERY)

    assert outbox.state(probe) == "sent"
    assert [one.connection_id for one in outbox.attempts(probe)] == [MAIN, OTHER]
    assert len(outbox.paused) == 1, "nobody is told a second time"


def test_two_fallbacks_are_taken_in_their_order(outbox: Outbox) -> None:
    third = UUID("00000000-0000-0000-0000-00000000000c")
    outbox.world.servers[third] = type(outbox.world.main)()
    ways = [way_out(MAIN), *(replace(way_out(one, from_mailbox=DESK), is_fallback=True) for one in (OTHER, third))]
    outbox.world.lead("default", ways)
    outbox.world.main.always = FAULT
    outbox.world.other.always = FAULT

    outbox.add()
    outbox.send()

    assert outbox.states() == ["sent"]
    assert len(outbox.world.servers[third].taken) == 1


def test_where_all_are_paused_mail_waits(outbox: Outbox) -> None:
    outbox.world.main.always = FAULT
    outbox.world.other.always = FAULT

    outbox.add()
    outbox.send()

    assert outbox.states() == ["deferred"]


def test_a_message_without_a_sender_of_its_own_is_the_fallbacks(outbox: Outbox) -> None:
    message = send_by_fallback(outbox)

    assert header(message, "From") == "Desk <desk@fabrikam.test>"
    assert header(message, "Reply-To") is None
    assert message.mail_from == "desk@fabrikam.test"


def test_another_sender_gets_the_answers_and_the_fallback_stands_in_from(outbox: Outbox) -> None:
    message = send_by_fallback(outbox, from_mailbox=WIKI)

    assert header(message, "From") == "Desk <desk@fabrikam.test>"
    assert header(message, "Reply-To") == "Wiki <wiki@contoso.test>"
    assert message.mail_from == "desk@fabrikam.test"


def test_a_reply_to_of_the_messages_own_stays(outbox: Outbox) -> None:
    content = b"Reply-To: help@contoso.test\r\n" + CONTENT % b"<1@contoso.test>"

    message = send_by_fallback(outbox, from_mailbox=WIKI, content=content)

    assert header(message, "From") == "Desk <desk@fabrikam.test>"
    assert header(message, "Reply-To") == "help@contoso.test"


def test_the_fallbacks_own_address_in_other_letters_is_kept_as_it_is_written(outbox: Outbox) -> None:
    message = send_by_fallback(outbox, from_mailbox=Mailbox("Desk@Fabrikam.test", "The desk"))

    assert header(message, "From") == "The desk <Desk@fabrikam.test>"
    assert header(message, "Reply-To") is None


def test_an_envelope_sender_of_the_messages_own_is_replaced_too(outbox: Outbox) -> None:
    message = send_by_fallback(outbox, from_mailbox=WIKI, mail_from="bounces@contoso.test")

    assert message.mail_from == "desk@fabrikam.test"


def test_a_message_that_wants_no_bounces_gets_none_by_the_fallback_either(outbox: Outbox) -> None:
    assert send_by_fallback(outbox, from_mailbox=WIKI, mail_from="").mail_from == ""


def test_the_default_sends_as_whom_the_message_names(outbox: Outbox) -> None:
    outbox.add(from_mailbox=WIKI, mail_from="bounces@contoso.test")

    outbox.send()

    [message] = outbox.world.main.taken
    assert header(message, "From") == "Wiki <wiki@contoso.test>"
    assert message.mail_from == "bounces@contoso.test"


def test_a_fallback_that_is_named_is_no_stand_in(outbox: Outbox) -> None:
    outbox.add(route=f"connection:{OTHER}", from_mailbox=WIKI)

    outbox.send()

    assert header(taken_by_fallback(outbox), "From") == "Wiki <wiki@contoso.test>"


def test_what_was_handed_to_the_fallback_is_stored_as_it_was_written(outbox: Outbox) -> None:
    """Sent again by the default it is from whom it named."""
    outbox.world.main.always = FAULT
    outbox.world.other.always = FAULT
    outbox.add(from_mailbox=WIKI)
    outbox.send()
    outbox.world.main.always = None
    outbox.in_session(lambda session: resume(session, MAIN))

    outbox.send()

    [message] = outbox.world.main.taken
    assert header(message, "From") == "Wiki <wiki@contoso.test>"
    assert header(message, "Reply-To") is None


def test_a_test_message_never_takes_a_fallback(outbox: Outbox) -> None:
    outbox.world.lead(f"connection:{MAIN}", (way_out(MAIN),))
    outbox.world.main.always = FAULT

    message_id = outbox.add(**TEST)
    outbox.send()

    assert outbox.state(message_id) == "failed"
    assert outbox.world.other.tried == []


def with_second_fallback(outbox: Outbox) -> Server:
    outbox.world.servers[THIRD] = third = Server()
    ways = [way_out(MAIN), *(replace(way_out(one, from_mailbox=DESK), is_fallback=True) for one in (OTHER, THIRD))]
    outbox.world.lead("default", ways)
    return third


@pytest.mark.parametrize("refusal", [TOO_LARGE, TOO_LARGE_AT_DATA])
def test_what_is_too_large_for_the_fallback_waits_and_leaves_as_the_probe_of_the_default(
    outbox: Outbox, refusal: Any
) -> None:
    outbox.world.main.always = FAULT
    outbox.world.other.always = refusal
    message_id = outbox.add()

    outbox.send()
    outbox.send(NOW + PROBE_EVERY / 2)
    waiting, tried = outbox.state(message_id), len(outbox.world.other.tried)
    outbox.world.main.always = None
    outbox.send(NOW + PROBE_EVERY)

    assert (waiting, tried) == ("deferred", 1)
    assert outbox.state(message_id) == "sent"
    assert len(outbox.world.main.taken) == 1
    assert [one.code for one in outbox.attempts(message_id)][1] == "outbox.too_much_for_fallback"


def test_what_waits_for_the_default_leaves_as_soon_as_that_is_mended(outbox: Outbox) -> None:
    outbox.world.main.always = DEAD_GRANT
    outbox.world.other.always = TOO_LARGE
    for _ in range(3):
        outbox.add()
    outbox.send()
    outbox.world.main.always = None
    outbox.in_session(lambda session: resume(session, MAIN))

    outbox.send()

    assert outbox.states() == ["sent", "sent", "sent"]
    assert len(outbox.world.main.taken) == 3


def test_what_is_too_large_for_one_fallback_leaves_by_the_next(outbox: Outbox) -> None:
    third = with_second_fallback(outbox)
    outbox.world.main.always = FAULT
    outbox.world.other.then(TOO_LARGE)
    large, small = outbox.add(), outbox.add()

    outbox.send()

    assert [outbox.state(one) for one in (large, small)] == ["sent", "sent"]
    assert len(third.taken) == 1
    assert len(outbox.world.other.taken) == 1


def test_what_every_way_out_finds_too_large_has_failed_once_the_first_says_so(outbox: Outbox) -> None:
    third = with_second_fallback(outbox)
    third.always = outbox.world.other.always = TOO_LARGE
    outbox.world.main.always = FAULT
    message_id = outbox.add()
    outbox.send()
    waiting = outbox.state(message_id)
    outbox.world.main.always = TOO_LARGE

    outbox.send(NOW + PROBE_EVERY)

    assert (waiting, outbox.state(message_id)) == ("deferred", "failed")
    assert [one.connection_id for one in outbox.attempts(message_id)] == [MAIN, OTHER, THIRD, MAIN]


def test_what_only_the_default_can_carry_expires_in_its_time(outbox: Outbox) -> None:
    outbox.world.main.always = DEAD_GRANT
    outbox.world.other.always = TOO_LARGE
    message_id = outbox.add()

    for passed in range(1, 160):
        outbox.send(NOW + passed * PROBE_SIGN_IN_EVERY)

    assert outbox.state(message_id) == "expired"
    assert len(outbox.world.other.tried) < 80, "at most once an hour"


def test_a_fallback_that_is_named_ends_what_it_cannot_carry(outbox: Outbox) -> None:
    outbox.world.other.always = TOO_LARGE

    message_id = outbox.add(route=f"connection:{OTHER}")
    outbox.send()

    assert outbox.state(message_id) == "failed"


def test_what_a_fallback_refuses_for_another_reason_has_failed(outbox: Outbox) -> None:
    outbox.world.main.always = FAULT
    outbox.world.other.always = PermanentError(Step.CONTENT, code="graph.message_refused", reply=Reply(400, "no"))

    message_id = outbox.add()
    outbox.send()

    assert outbox.state(message_id) == "failed"


def test_a_running_worker_goes_over_and_comes_back(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.world.main.always = FAULT
    start_worker()
    for _ in range(20):
        outbox.add()
    until(lambda: set(outbox.states()) == {"sent"})
    by_fallback = len(outbox.world.other.taken)

    outbox.world.main.always = None
    outbox.in_session(lambda session: resume(session, MAIN))
    for _ in range(20):
        outbox.add()
    until(lambda: set(outbox.states()) == {"sent"})

    assert by_fallback == 20
    assert len(outbox.world.main.taken) + len(outbox.world.other.taken) == 40
    assert len(outbox.world.main.taken) >= 19
    assert PORTAL.address in outbox.world.main.taken[0].content.decode()


def test_what_names_a_sender_that_the_way_out_is_known_to_refuse_waits_untried(outbox: Outbox) -> None:
    outbox.world.lead("default", (replace(way_out(MAIN), refuses=frozenset({"@contoso.test"})),))
    waiting = [outbox.add(from_mailbox=WIKI), outbox.add(from_mailbox=WIKI, mail_from="")]
    own = outbox.add()

    outbox.send()
    states = outbox.states()
    outbox.world.lead("default", (way_out(MAIN),))
    outbox.send(NOW + timedelta(hours=1))

    assert states == ["deferred", "deferred", "sent"]
    assert outbox.attempts(waiting[0])[0].code == "outbox.sender_refused"
    assert [len(outbox.attempts(one)) for one in (*waiting, own)] == [2, 2, 1]
    assert outbox.states() == ["sent", "sent", "sent"]
    assert outbox.paused == []


def test_one_connection_is_a_stand_in_on_one_route_and_the_first_choice_of_another(
    outbox: Outbox, start_worker: StartWorker
) -> None:
    """As a fallback is for all, while the default is paused, that was chosen for one server."""
    first_choice = way_out(OTHER, from_mailbox=DESK)
    outbox.world.lead("default", [replace(first_choice, is_fallback=True)])
    outbox.world.lead("server:wiki", [first_choice])
    for _ in range(60):
        outbox.add(from_mailbox=WIKI, rcpt_to=("by.stand-in@contoso.test",))
        outbox.add(from_mailbox=WIKI, rcpt_to=("by.choice@contoso.test",), route="server:wiki")

    start_worker()
    until(lambda: len(outbox.ended) == 120)

    left_as = Counter((message.rcpt_to[0], header(message, "From")) for message in outbox.world.other.taken)
    assert left_as == {
        ("by.stand-in@contoso.test", "Desk <desk@fabrikam.test>"): 60,
        ("by.choice@contoso.test", "Wiki <wiki@contoso.test>"): 60,
    }


def test_a_route_whose_connection_is_chosen_meanwhile_sends_as_itself(outbox: Outbox) -> None:
    stand_in = replace(way_out(OTHER, from_mailbox=DESK), is_fallback=True)
    outbox.world.lead("default", [stand_in])
    outbox.add(from_mailbox=WIKI)
    outbox.send()

    outbox.world.lead("default", [replace(stand_in, is_fallback=False)])
    outbox.add(from_mailbox=WIKI)
    outbox.send()

    assert [header(message, "From") for message in outbox.world.other.taken] == [
        "Desk <desk@fabrikam.test>",
        "Wiki <wiki@contoso.test>",
    ]
