"""What a program hears when nobody knows whether its message was stored."""

from __future__ import annotations

from portal.api.submitting import problem_of
from portal.outbox.accept import Cause, NotStored


def test_of_an_unknown_fate_a_program_hears_how_nothing_is_stored_twice() -> None:
    problem = problem_of(NotStored(Cause.UNKNOWN))

    assert problem.type.name == "busy"
    assert "the same idempotency key" in str(problem.detail)
    assert "idempotency" not in str(problem_of(NotStored(Cause.AWAY)).detail)
