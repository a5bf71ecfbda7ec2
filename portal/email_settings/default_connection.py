"""What the email settings page shows of the default connection; the connections room fills it in."""

from __future__ import annotations

from dataclasses import dataclass

from portal.wording import Text


@dataclass(frozen=True, kw_only=True)
class ConnectionSummary:
    """A connection in a few words."""

    name: str
    path: str  # of its page
    method: Text  # "SMTP server"
    where: Text | str  # "smtp.contoso.test, port 587"; "" where there is no server
    state: str  # "ready", "paused", "needs_secret", "needs_consent" or "draft"
    state_label: Text
    state_kind: str  # the colour of the pill: "ok", "warn", "bad" or "off"
    reason: Text | None  # why it does not send, None where it does
    keeps_mail: bool  # it captures: nothing leaves the portal
