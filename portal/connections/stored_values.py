"""What people set of a connection, read from its row."""

from __future__ import annotations

from portal.connections.models import Connection
from portal.connections.values import ConnectionValues, Method, Role, settings_by_method


def values_of(row: Connection) -> ConnectionValues:
    """What people set, read from its row."""
    return ConnectionValues(
        name=row.name,
        method=Method(row.method),
        role=Role(row.role),
        fallback_order=row.fallback_order,
        **settings_by_method(row.method_values),
        from_address=row.from_address,
        display_name=row.display_name,
        reply_to=row.reply_to,
        envelope_from=row.envelope_from,
        messages_per_minute=row.messages_per_minute,
        max_connections=row.max_connections,
    )
