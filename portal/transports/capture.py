"""The way out that leads nowhere: every message is kept in the portal, for trying things out."""

from __future__ import annotations

from collections.abc import Callable

from portal.transports import Abandoned, OutgoingMessage, RecipientResult, Reply, SendReport, Verdict

_CAPTURED = Reply(250, "captured")


class CaptureTransport:
    """A `Transport` that takes every message at once; the report says that it was kept."""

    def send(
        self,
        message: OutgoingMessage,
        *,
        may_proceed: Callable[[], bool],
        following: OutgoingMessage | None = None,  # noqa: ARG002 - nothing is announced to nobody
    ) -> SendReport:
        """As `Transport.send`; raises Abandoned alone."""
        if not may_proceed():
            raise Abandoned
        return SendReport(
            tuple(RecipientResult(address, Verdict.SENT, _CAPTURED) for address in message.rcpt_to), kept=True
        )

    def close(self) -> None:
        """As `Transport.close`: nothing is open."""
