"""The way out that keeps every message in the portal."""

from __future__ import annotations

import pytest

from portal.transports import Abandoned, OutgoingMessage, Reply, Verdict
from portal.transports.capture import CaptureTransport

MESSAGE = OutgoingMessage("portal@contoso.test", ("ada@contoso.test", "bob@contoso.test"), b"Subject: x\r\n\r\n")


def test_every_recipient_counts_as_sent_and_the_message_as_kept() -> None:
    report = CaptureTransport().send(MESSAGE, may_proceed=lambda: True)

    assert report.kept
    assert [(result.address, result.verdict, result.reply) for result in report.recipients] == [
        ("ada@contoso.test", Verdict.SENT, Reply(250, "captured")),
        ("bob@contoso.test", Verdict.SENT, Reply(250, "captured")),
    ]


def test_nothing_is_captured_that_may_not_proceed() -> None:
    with pytest.raises(Abandoned):
        CaptureTransport().send(MESSAGE, may_proceed=lambda: False)
