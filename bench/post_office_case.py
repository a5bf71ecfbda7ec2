"""The peer: django-post_office on SQLite (WAL, FULL), one process of five threads, batches of 100.

`python -m bench.post_office_case PORT MESSAGES FOLDER LOAD` fills its queue, sends it, prints one JSON line. A
few messages leave before the clock starts.
LOG_LEVEL 2 is its default: like the portal it keeps a row for each attempt.
These are its documented settings for throughput; its SMTP backend opens one connection for each thread and
batch. The message is built when it is sent, as it always is there: that is its design.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from bench.load import BODY, LOADS, WARM_UP


def configure(port: int, folder: Path) -> None:
    settings.configure(
        SECRET_KEY="bench",
        INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "peer.sqlite3",
                "OPTIONS": {
                    "timeout": 20,
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
                },
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        EMAIL_BACKEND="post_office.EmailBackend",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=port,
        EMAIL_TIMEOUT=30,
        POST_OFFICE={
            "BATCH_SIZE": 100,
            "THREADS_PER_PROCESS": 5,
            "LOG_LEVEL": 2,
            "LOCK_FILE_NAME": str(folder / "lock"),
        },
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup()
    logging.getLogger("post_office").setLevel(logging.WARNING)  # it prints five lines for each batch
    call_command("migrate", verbosity=0)


def mail_to(number: int, html: str) -> dict[str, Any]:
    return {
        "sender": "portal@contoso.test",
        "recipients": [f"user{number}@contoso.test"],
        "subject": f"Message {number}",
        "message": BODY,
        "html_message": html,
    }


def main() -> None:
    port, count, folder, html = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), LOADS[sys.argv[4]] or ""
    configure(port, folder)
    from django.db import connection
    from post_office import mail
    from post_office.models import STATUS, Email

    with connection.cursor() as cursor:
        synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
    for messages in (WARM_UP, count):
        mail.send_many([mail_to(number, html) for number in range(messages)])
        started, cpu = time.perf_counter(), time.process_time()
        while Email.objects.filter(status=STATUS.queued).exists():
            mail.send_queued(processes=1)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    sent = Email.objects.filter(status=STATUS.sent).count() - WARM_UP
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "sent": sent,
                "peak_kb": peak,
                "synchronous": synchronous,
            }
        )
    )


if __name__ == "__main__":
    main()
