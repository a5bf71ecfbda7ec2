"""What is said to whoever's message was not stored: programs by HTTP and devices by SMTP hear the same sentences."""

from __future__ import annotations

import pytest

from portal.outbox.accept_errors import AcceptError, Busy, Cause, NotStored


@pytest.mark.parametrize("error", [Busy(), *map(NotStored, Cause)], ids=lambda one: getattr(one, "cause", "busy"))
def test_no_reason_speaks_of_what_smtp_does_not_have(error: AcceptError) -> None:
    said = str(error.reason)

    assert not any(word in said.lower() for word in ("idempotency", "key", "request", "json"))
    assert any(word in said for word in ("Send", "administrator"))
