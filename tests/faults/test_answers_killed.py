"""kill -9 of a worker while it answers forgotten passwords: every request gets its one mail in the end."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from sqlalchemy import func, select, update

from portal.accounts import reset_requests
from portal.accounts.models import ResetRequest
from portal.database import writing
from portal.outbox.models import JobState, Message
from portal.transaction import unit_of_work
from tests.faults.conftest import on_sqlite
from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.faults.people import add_person
from tests.supervisor.groups import until

PEOPLE = 40


def ask_for_links(installation: Installation) -> None:
    addresses = [f"user{number}@contoso.test" for number in range(PEOPLE)]
    for address in addresses:
        add_person(installation, address)
    with installation.app.app_context(), unit_of_work() as session:
        for address in addresses:
            reset_requests.request_password_reset(session, address, "127.0.0.1", datetime.now(UTC))


def answered(installation: Installation) -> int:
    done = select(func.count()).select_from(ResetRequest).where(ResetRequest.state == "answered")
    with installation.engine.connect() as connection:
        return connection.scalar(done) or 0


def let_the_lease_of_jobs_run_out(installation: Installation) -> None:
    """It lasts a minute, which nobody waits here."""
    with writing(installation.engine).begin() as connection:
        connection.execute(update(JobState).values(lease_until=None))


@on_sqlite
def test_a_worker_killed_amid_its_answers_leaves_the_rest_to_the_next(
    installation: Installation, server: HoldingServer
) -> None:
    ask_for_links(installation)
    victim = installation.worker()
    until(lambda: answered(installation) >= 3, 20)

    victim.kill()
    let_the_lease_of_jobs_run_out(installation)
    installation.worker()
    until(lambda: installation.states() == {"sent": PEOPLE}, 30)

    with installation.engine.connect() as connection:
        recipients = Counter(one for [one] in connection.scalars(select(Message.rcpt_to)))
    assert answered(installation) == PEOPLE
    assert set(recipients.values()) == {1}
    assert len(recipients) == PEOPLE
    assert len(server.copies) == PEOPLE
