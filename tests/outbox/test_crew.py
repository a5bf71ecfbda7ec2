"""How the senders of a way out share its lines."""

from __future__ import annotations

import threading
from typing import cast

from portal.outbox.crew import MOST_LINES, Crew
from portal.outbox.lines import Line


def line() -> Line:
    return cast("Line", object())


def crew_of(count: int) -> tuple[Crew, list[threading.Thread]]:
    crew, senders = Crew(), [threading.Thread() for _ in range(count)]
    for sender in senders:
        crew.join(sender)
    return crew, senders


def test_the_first_that_asks_gathers() -> None:
    crew, [first, second] = crew_of(2)

    assert crew.gathers(first)
    assert not crew.gathers(second)
    assert crew.gathers(first)


def test_a_line_that_is_given_is_taken_up_once_and_its_sender_has_left() -> None:
    crew, [first, second] = crew_of(2)
    crew.gathers(first)
    given = line()

    assert crew.give(given, by=second)

    assert crew.senders == (first,)
    assert crew.lines == 2
    assert crew.take_up(second) == []
    assert crew.take_up(first) == [given]
    assert crew.take_up(first) == []


def test_nothing_is_given_where_nobody_gathers_nor_to_oneself() -> None:
    crew, [first, second] = crew_of(2)

    assert not crew.has_room
    assert not crew.give(line(), by=second)
    crew.gathers(first)
    assert crew.has_room
    assert not crew.give(line(), by=first)
    assert crew.lines == 2


def test_one_sender_has_no_more_than_so_many_lines() -> None:
    crew, [first, *others] = crew_of(MOST_LINES + 1)
    crew.gathers(first)

    given = [crew.give(line(), by=other) for other in others]

    assert given == [True] * (MOST_LINES - 1) + [False]
    assert not crew.has_room
    assert crew.lines == MOST_LINES + 1


def test_who_resigns_or_leaves_gets_back_what_nobody_took_up() -> None:
    for end in (Crew.resign, Crew.leave):
        crew, [first, second, third] = crew_of(3)
        crew.gathers(first)
        given = line()
        crew.give(given, by=second)

        assert end(crew, first) == [given]
        assert end(crew, first) == []
        assert crew.gathers(third)


def test_lines_are_counted_wherever_they_are() -> None:
    crew, [first, second] = crew_of(2)
    crew.gathers(first)
    crew.give(line(), by=second)
    new = threading.Thread()

    crew.part(new, by=first)
    assert (crew.lines, set(crew.senders)) == (2, {first, new})
    crew.leave(new)
    assert crew.lines == 1
    crew.leave(first)
    assert (crew.lines, crew.senders) == (0, ())


def test_a_line_whose_new_sender_did_not_come_to_be_is_taken_back() -> None:
    crew, [first, second] = crew_of(2)
    crew.gathers(first)
    crew.give(line(), by=second)
    new = threading.Thread()
    crew.part(new, by=first)

    crew.take_back(new, by=first)

    assert (crew.lines, crew.senders) == (2, (first,))


def test_of_those_that_are_too_many_each_closes_one_until_so_many_are_left() -> None:
    crew, [first, second, third] = crew_of(3)
    crew.gathers(first)
    crew.give(line(), by=second)

    shed = [crew.shed(sender, most=1) for sender in (third, first, first)]

    assert shed == [True, True, False]
    assert crew.lines == 1


def test_who_has_left_cannot_gather() -> None:
    crew, [first] = crew_of(1)
    crew.leave(first)

    assert not crew.gathers(first)
