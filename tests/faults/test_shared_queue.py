"""Several workers on one queue: each message leaves once, and a kill costs at most a slice of each connection."""

from __future__ import annotations

import random
import re

from tests.faults import kill_run
from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.supervisor.groups import until


def test_two_workers_send_each_message_of_one_queue_once(installation: Installation, server: HoldingServer) -> None:
    server.on("CONTENT", delay=0.005)
    workers = [installation.command("worker") for _ in range(2)]
    until(lambda: all("worker started" in worker.said() for worker in workers), 30)

    installation.queue(300)
    until(lambda: installation.states() == {"sent": 300}, 60)

    assert len(server.messages) == 300
    assert len(server.copies) == 300
    shares = [len(re.findall("delivery attempt", worker.said())) for worker in workers]
    assert min(shares) > 0
    assert sum(shares) == 300


def test_workers_killed_at_random_lose_nothing(installation: Installation, server: HoldingServer) -> None:
    tally = kill_run.run(installation, server, messages=200, kills=3, chance=random.Random(4))

    assert tally.lost == 0
    assert tally.unexplained == 0
    assert tally.outside_slices == 0
    assert tally.altered == 0
