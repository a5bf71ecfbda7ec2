"""Jobs that call servers elsewhere keep no other job waiting."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from portal.outbox.jobs import Job
from tests.outbox.conftest import StartWorker, until


def test_a_job_that_waits_for_another_server_keeps_the_rest_of_the_jobs_from_nothing(
    start_worker: StartWorker,
) -> None:
    answered, runs = threading.Event(), list[datetime]()
    slow = Job(name="ask", every=timedelta(hours=1), run=lambda _: answered.wait(timeout=10), asks_others=True)
    quick = Job(name="tidy", every=timedelta(seconds=1), run=runs.append)

    start_worker(jobs=[slow, quick])
    until(lambda: len(runs) == 2)

    assert not answered.is_set()
    answered.set()
