"""Whether the time of an answer tells who has an account: pairs of one known and one unknown address, in turn.

`python -m bench.enumeration_case PAIRS FOLDER` asks by the WSGI application, and prints one JSON line: for each page
the p-value of a rank test (Mann and Whitney, 1947, by the normal approximation) and the gap of the medians.
Codes are typed in the browser that asked for everybody's, after each request was answered: a known address has a code
that waits for it there, an unknown one none.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update

from portal import audit, create_app
from portal.accounts import people, recovery_settings
from portal.accounts.models import ResetRequest, User
from portal.config import load_config
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web.models import RateLimitCounter

PASSWORD = "correct horse battery staple 9"
WARM_UP = 50  # pairs that are not counted
FIRST = "aaron@contoso.test"  # of all addresses: has an account, and never asks for anything


@dataclass(frozen=True)
class Page:
    """A form: where it goes, its field for the address, and what else is typed."""

    path: str
    field: str
    more: dict[str, str]


PAGES = {
    "forgot": Page("/forgot-password", "identifier", {}),
    "code": Page("/reset-password", "identifier", {"code": "00000000", "password": PASSWORD}),
    "sign_in": Page("/sign-in", "email", {"password": "wrong horse battery staple 9"}),
}


def make_app(folder: Path, people_count: int) -> Flask:
    """A portal whose mail brings codes, and in which `people_count` people have an account, and FIRST."""
    environ = {"PORTAL_INSTANCE": str(folder), "PORTAL_PUBLIC_URL": "http://localhost", "PORTAL_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "portal.cli", "upgrade", "--quiet"]
    subprocess.run(command, env=os.environ | environ, stdout=subprocess.DEVNULL, check=True)
    app, now = create_app(load_config(environ)), datetime.now(UTC)
    with app.app_context():
        usual = people.prepare_user(
            db.session(), email=_known(0), role="user", password=PASSWORD, public_host="localhost"
        )
        with unit_of_work() as session:
            settings = replace(recovery_settings.load(session), means="code", attempts=999)
            recovery_settings.save(session, settings, actor=audit.COMMAND_LINE, now=now)
            for email in (FIRST, *map(_known, range(people_count))):
                people.add_user(session, replace(usual, email=email), actor=None, now=now)
    return app


def answer_all(app: Flask) -> None:
    """What the worker makes of every request, had each its mail: a code for whoever has an account."""
    now, request = datetime.now(UTC), ResetRequest
    opens = {"code_mac": os.urandom(32), "expires_at": now + timedelta(hours=1)}
    with app.app_context(), unit_of_work() as session:
        session.execute(update(request).values(state="refused", reason="unknown", answered_at=now))
        for person in session.execute(select(User.id, User.email_key, User.role)).all():
            account = {"user_id": person.id, "email_key": person.email_key, "role": person.role}
            mine = update(request).where(request.identifier == person.email_key)
            session.execute(mine.values(state="answered", mailed_to_key=person.email_key, **account, **opens))


def measure(app: Flask, client: FlaskClient, page: Page, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of the answers for known and for unknown addresses; which of a pair goes first is drawn by lot."""
    token = _csrf_token(client)
    known: list[float] = []
    unknown: list[float] = []
    for number in range(-WARM_UP, pairs):
        if number == 0:
            _forget_limits(app)
            known.clear()
            unknown.clear()
        both = [(known, _known(number % pairs)), (unknown, f"stranger{number % pairs:05}@contoso.test")]
        random.shuffle(both)
        for times, identifier in both:
            times.append(_seconds(client, page, {"csrf_token": token, page.field: identifier}, number))
    return known, unknown


def rank_test(first: list[float], second: list[float]) -> float:
    """The p-value of the hypothesis that neither of two samples tends to be larger; two-sided, ties corrected."""
    ordered = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, ties, place = 0.0, 0.0, 0
    for _value, group in groupby(ordered, key=lambda one: one[0]):
        members = [which for _, which in group]
        ranks += members.count(0) * (place + (len(members) + 1) / 2)
        ties += len(members) ** 3 - len(members)
        place += len(members)
    one, other, total = len(first), len(second), len(ordered)
    statistic = ranks - one * (one + 1) / 2
    spread = math.sqrt(one * other / 12 * (total + 1 - ties / (total * (total - 1))))
    return math.erfc(abs(statistic - one * other / 2) / spread / math.sqrt(2)) if spread else 1.0


def _seconds(client: FlaskClient, page: Page, data: dict[str, str], number: int) -> float:
    address = f"10.{number % 251}.{number // 251 % 251}.7"  # no client address meets its limit
    started = time.perf_counter()
    answer = client.post(page.path, data=data | page.more, environ_base={"REMOTE_ADDR": address})
    elapsed = time.perf_counter() - started
    assert answer.status_code in {303, 422}, answer.status
    return elapsed


def _known(number: int) -> str:
    return f"employee{number:05}@contoso.test"


def _csrf_token(client: FlaskClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/forgot-password").get_data(as_text=True))
    assert found is not None
    return found[1]


def _forget_limits(app: Flask) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(delete(RateLimitCounter))


def main() -> None:
    pairs, folder = int(sys.argv[1]), Path(sys.argv[2])
    app = make_app(folder, pairs)
    client, outcome = app.test_client(), {}
    for name, page in PAGES.items():
        if name == "code":
            answer_all(app)
        known, unknown = measure(app, client, page, pairs)
        gap = 1000 * abs(statistics.median(known) - statistics.median(unknown))
        outcome[name] = {"p": rank_test(known, unknown), "gap_ms": gap, "median_ms": 1000 * statistics.median(known)}
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
