"""How fast a provider takes mail from one mailbox, where nobody set anything else. All workers share it.

Sources: learn.microsoft.com, "Exchange Online limits" (SMTP client submission) and "Microsoft Graph throttling limits".
"""

from __future__ import annotations

from dataclasses import dataclass

from portal.connections.values import DEFAULT_MAX_CONNECTIONS, MICROSOFT_METHODS, ConnectionValues


@dataclass(frozen=True)
class Limits:
    """`messages_per_minute` None is no limit."""

    max_connections: int
    messages_per_minute: int | None


_USUAL = Limits(DEFAULT_MAX_CONNECTIONS, None)  # Graph takes four requests at a time, too
_MICROSOFT_SMTP = Limits(3, 30)


def usual_limits(values: ConnectionValues) -> Limits:
    """What holds for the method in use while its fields are empty."""
    is_microsoft = values.method in MICROSOFT_METHODS
    return _MICROSOFT_SMTP if is_microsoft and values.provider and values.provider.uses_smtp else _USUAL


def limits_of(values: ConnectionValues) -> Limits:
    """What was set, and what is usual where nothing was."""
    usual = usual_limits(values)
    return Limits(
        values.max_connections or usual.max_connections, values.messages_per_minute or usual.messages_per_minute
    )
