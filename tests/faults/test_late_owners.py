"""A worker that was frozen past its lease (a suspended machine) and comes back when another has taken over."""

from __future__ import annotations

from tests.faults.conftest import on_sqlite
from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.supervisor.groups import until


def test_its_sent_counts_whatever_the_other_worker_met(installation: Installation, server: HoldingServer) -> None:
    server.hold("CONTENT")
    [message] = installation.queue()
    late = installation.worker()
    server.wait_until_held()
    installation.freeze(late)
    server.on("MAIL", "451 4.3.0 busy")
    installation.worker()
    until(lambda: installation.states() == {"deferred": 1}, 20)

    server.go_on()
    late.thaw()
    until(lambda: installation.states() == {"sent": 1}, 20)

    assert len(server.messages) == 1
    assert installation.verdicts(message) == ["uncertain", "deferred", "sent"]


@on_sqlite
def test_its_lost_answer_does_not_count_and_no_third_copy_leaves(
    installation: Installation, server: HoldingServer
) -> None:
    server.hold("CONTENT")
    [message] = installation.queue()
    late = installation.worker()
    server.wait_until_held()
    installation.freeze(late)
    other = installation.worker()
    until(lambda: installation.states() == {"sent": 1}, 20)

    server.hang_up()
    late.thaw()
    late.stop()
    other.stop()

    assert installation.states() == {"sent": 1}
    assert list(server.copies.values()) == [2]
    assert installation.verdicts(message) == ["uncertain", "sent"]


@on_sqlite
def test_its_refusal_does_not_count(installation: Installation, server: HoldingServer) -> None:
    server.hold("CONTENT", is_taken=False)
    [message] = installation.queue()
    late = installation.worker()
    server.wait_until_held()
    installation.freeze(late)
    installation.worker()
    until(lambda: installation.states() == {"sent": 1}, 20)

    server.go_on("554 5.7.1 refused")
    late.thaw()
    late.stop()

    assert installation.verdicts(message) == ["uncertain", "sent"]
    assert list(server.copies.values()) == [1]


@on_sqlite
def test_it_does_not_pass_the_point_of_no_return(installation: Installation, server: HoldingServer) -> None:
    server.hold("DATA")
    [message] = installation.queue()
    late = installation.worker()
    server.wait_until_held()
    installation.freeze(late)
    installation.worker()
    until(lambda: installation.states() == {"sent": 1}, 20)

    server.go_on()
    late.thaw()
    late.stop()

    assert list(server.copies.values()) == [1]
    assert installation.verdicts(message) == ["uncertain", "sent"]
