"""The page where a code is typed answers at full steps of time."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.accounts import even_time
from tests.accounts.test_reset_codes import ADA, WRONG, give


@pytest.mark.parametrize(("spent", "slept"), [(0.001, 0.099), (0.0999, 0.0001), (0.1001, 0.0999), (0.65, 0.05)])
def test_what_is_left_of_a_step_is_slept(monkeypatch: pytest.MonkeyPatch, spent: float, slept: float) -> None:
    sleeps: list[float] = []
    clock = SimpleNamespace(perf_counter=lambda: 100 + spent, sleep=sleeps.append)
    monkeypatch.setattr(even_time, "time", clock)

    even_time.wait_for_full_step(100)

    assert sleeps == [pytest.approx(slept, abs=1e-9)]


@pytest.mark.parametrize("identifier", [ADA, "unknown@contoso.test"])
def test_every_answer_about_a_code_waits_for_it(
    client: FlaskClient, ada: UUID, monkeypatch: pytest.MonkeyPatch, identifier: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(even_time, "time", SimpleNamespace(perf_counter=lambda: 100.03, sleep=waits.append))

    answers = [give(client, WRONG, identifier).status_code for _ in range(7)]

    assert answers == [422] * 7
    assert len(waits) == 7
