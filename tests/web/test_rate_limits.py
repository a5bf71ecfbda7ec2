from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from werkzeug.exceptions import TooManyRequests

from portal import database
from portal.web.limits import Allowed, Refused, allow, client_key, purge, require

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url, **database.engine_options(database_url))
    database.configure(engine)
    yield engine
    engine.dispose()


def stored_rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from rate_limit_counter")).scalar_one())


def test_the_use_after_the_last_allowed_one_is_refused_until_the_window_ends(engine: Engine) -> None:
    outcomes = [
        allow(engine, "3/minute", "sign-in", "192.0.2.1", now=NOON + timedelta(seconds=seconds))
        for seconds in (0, 10, 20, 30)
    ]

    assert outcomes == [Allowed(2), Allowed(1), Allowed(0), Refused(30)]


def test_the_next_window_starts_with_a_full_allowance(engine: Engine) -> None:
    allow(engine, "1/minute", "sign-in", "192.0.2.1", now=NOON)
    allow(engine, "1/minute", "sign-in", "192.0.2.1", now=NOON + timedelta(seconds=59))

    outcome = allow(engine, "1/minute", "sign-in", "192.0.2.1", now=NOON + timedelta(seconds=60))

    assert outcome == Allowed(0)


def test_refused_uses_do_not_prolong_the_window(engine: Engine) -> None:
    for seconds in range(0, 60, 5):
        allow(engine, "1/minute", "reset", "a", now=NOON + timedelta(seconds=seconds))

    assert allow(engine, "1/minute", "reset", "a", now=NOON + timedelta(seconds=55)) == Refused(5)
    assert allow(engine, "1/minute", "reset", "a", now=NOON + timedelta(seconds=61)) == Allowed(0)


def test_rules_purposes_and_people_are_counted_apart(engine: Engine) -> None:
    allow(engine, "1/minute", "sign-in", "a", now=NOON)

    assert allow(engine, "1/minute", "sign-in", "b", now=NOON) == Allowed(0)
    assert allow(engine, "1/minute", "reset", "a", now=NOON) == Allowed(0)
    assert allow(engine, "1/hour", "sign-in", "a", now=NOON) == Allowed(0)
    assert allow(engine, "1/minute", "sign-", "ina", now=NOON) == Allowed(0)
    assert allow(engine, "1/minute", "sign-in", "a", now=NOON) == Refused(60)


@pytest.mark.parametrize("typed", ["", "x" * 100_000, "a\x00b", "\ud800", "' or 1=1--"])
def test_whatever_a_stranger_types_can_be_counted(engine: Engine, typed: str) -> None:
    assert allow(engine, "2/hour", "forgot-password", typed, now=NOON) == Allowed(1)
    assert allow(engine, "2/hour", "forgot-password", typed, now=NOON) == Allowed(0)


def test_eight_threads_at_once_get_exactly_the_allowance(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: allow(engine, "10/hour", "check", "a", now=NOON), range(40)))

    assert sorted(outcome.remaining for outcome in outcomes if isinstance(outcome, Allowed)) == list(range(10))


def test_windows_that_are_over_are_purged(engine: Engine) -> None:
    allow(engine, "1/minute", "sign-in", "a", now=NOON)
    allow(engine, "1/hour", "sign-in", "a", now=NOON)

    purged = purge(engine, NOON + timedelta(minutes=1))

    assert purged == 1
    assert stored_rows(engine) == 1


def test_the_table_names_nobody(engine: Engine) -> None:
    allow(engine, "1/minute", "sign-in", "ada@contoso.test", now=NOON)

    with engine.connect() as connection:
        key = connection.execute(text("select key from rate_limit_counter")).scalar_one()

    assert re.fullmatch(r"[0-9a-f]{64}", key)


def test_a_view_is_ended_by_429_with_the_seconds_to_wait(engine: Engine) -> None:
    require(engine, "1/minute", "check", "a", now=NOON)

    with pytest.raises(TooManyRequests) as refused:
        require(engine, "1/minute", "check", "a", now=NOON + timedelta(seconds=15))

    assert refused.value.retry_after == 45


def test_a_rule_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="couldn't parse rate limit string"):
        allow(create_engine(f"sqlite:///{tmp_path / 'x'}"), "often", "sign-in")


@pytest.mark.parametrize(
    ("address", "counted_by"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_clients_are_counted_by_their_address_and_with_ipv6_by_their_network(address: str, counted_by: str) -> None:
    assert client_key(address) == counted_by
