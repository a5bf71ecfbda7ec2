"""What the worker of bench/celery_case.py imports: the broker, in BENCH_BROKER, and the one task."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from bench import send_mail
from bench.load import BODY

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_hijack_root_logger=False)


@worker_process_init.connect
def configure(**_: Any) -> None:
    send_mail.configure(int(os.environ["BENCH_PORT"]))


@app.task
def send(number: int, html: str | None) -> None:
    send_mail.send(number, BODY, html)
