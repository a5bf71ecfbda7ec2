"""Workers that are killed at random, over and over, while they send a backlog; and what came of it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select

from portal.outbox import commands
from portal.outbox.models import Attempt, Delivery, Message
from portal.outbox.settings import WorkerSettings
from portal.transaction import unit_of_work
from tests.faults.holding_server import HoldingServer, message_id_of
from tests.faults.installation import Installation
from tests.supervisor.groups import until

SENDERS = 2  # connections of one worker
_SECONDS_OF_A_MESSAGE = 0.004
_LONGEST = 900.0


@dataclass(frozen=True)
class Tally:
    """What a run came to. Only `second_copies` and `released` may be more than nothing."""

    kills: int
    messages: int
    lost: int  # not taken by the server; all are recorded as sent in the end
    released: int  # held after three kills each, and let go by a person
    second_copies: int
    unexplained: int  # copies beyond one for each time that a worker died with the message in its hands
    outside_slices: int  # copies beyond the last slice of the connection that took the message before
    altered: int  # messages whose copies are not the same to the last octet
    seconds: float

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.unexplained or self.outside_slices or self.altered)


def run(
    installation: Installation, server: HoldingServer, *, messages: int, kills: int, chance: random.Random
) -> Tally:
    """Two workers; after so many messages as chance wills, one of them is killed and another takes its place."""
    begun = time.monotonic()
    server.on("CONTENT", delay=_SECONDS_OF_A_MESSAGE)
    installation.queue(messages)
    workers = [installation.worker(senders=SENDERS) for _ in range(2)]
    for _ in range(kills):
        goal = len(server.messages) + chance.randint(1, max(1, messages // (kills + 2)))
        until(lambda goal=goal: len(server.messages) >= goal, _LONGEST)  # type: ignore[misc]
        time.sleep(chance.random() * 0.02)
        victim = chance.randrange(len(workers))
        workers[victim].kill()
        workers[victim] = installation.worker(senders=SENDERS)
    until(lambda: not installation.states().keys() - {"sent", "held"}, _LONGEST)
    released = _release(installation)
    until(lambda: installation.states() == {"sent": messages}, _LONGEST)
    for worker in workers:
        worker.stop()
    copies, in_doubt = server.copies, _times_in_doubt(installation)
    return Tally(
        kills=kills,
        messages=messages,
        lost=messages - len(in_doubt.keys() & copies.keys()),
        released=released,
        second_copies=sum(copies.values()) - len(copies),
        unexplained=sum(max(0, count - 1 - in_doubt[one]) for one, count in copies.items()),
        outside_slices=_outside_slices(server),
        altered=len({message.content for message in server.messages}) - len(copies),
        seconds=time.monotonic() - begun,
    )


def _times_in_doubt(installation: Installation) -> dict[str, int]:
    """By Message-ID: how often a worker died with the message in its hands."""
    doubts = func.count(Attempt.id).filter(Attempt.verdict == "uncertain")
    query = select(Message.message_id, doubts).join(Delivery, Delivery.message_id == Message.id)
    with installation.engine.connect() as connection:
        found = connection.execute(query.outerjoin(Attempt, Attempt.delivery_id == Delivery.id).group_by(Message.id))
        return {row[0]: row[1] for row in found}


def _release(installation: Installation) -> int:
    with installation.engine.connect() as connection:
        held = connection.scalars(select(Delivery.message_id).where(Delivery.state == "held")).all()
    with installation.app.app_context(), unit_of_work() as session:
        for message_id in held:
            commands.release(session, message_id, now=datetime.now(UTC))
    return len(held)


def _outside_slices(server: HoldingServer) -> int:
    """Messages that were sent again though their connection had gone on for more than a slice since."""
    taken: dict[int, list[str]] = {}
    latest: dict[str, int] = {}
    for message in server.messages:
        taken.setdefault(message.session, []).append(message_id_of(message))
        latest[message_id_of(message)] = message.session
    whole = WorkerSettings().slice_size
    return sum(latest[one] != session for session, ids in taken.items() for one in ids[:-whole])
