"""What the consumer of bench/huey_case.py imports: the queue, in BENCH_QUEUE, and its one task."""

from __future__ import annotations

import os

from huey import SqliteHuey

from bench import send_mail
from bench.load import BODY

huey = SqliteHuey("bench", filename=os.environ["BENCH_QUEUE"], fsync=True, results=False)


@huey.on_startup()
def configure() -> None:
    if not send_mail.settings.configured:  # asked by each thread of the consumer
        send_mail.configure(int(os.environ["BENCH_PORT"]))


@huey.task()
def send(number: int, html: str | None) -> None:
    send_mail.send(number, BODY, html)
