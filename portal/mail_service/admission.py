"""The last look at a message whose bytes and route are decided."""

from __future__ import annotations

from sqlalchemy.orm import Session

from portal.connections import why_too_large
from portal.outbox.prepared import PreparedMessage
from portal.servers.ways import first_way
from portal.wording import Text

_NEVER_TOO_LARGE = 1024 * 1024  # octets: no way out takes less
_OWN_ROUTES = ("server:", "rule:")


class NotAccepted(Exception):
    """The message was not taken; `reason` says why and who can mend it. Nothing was written.

    `field` is what it is about, as the API calls it ("" for the message as a whole). `is_lasting`: the same message
    would be refused again.
    """

    def __init__(self, reason: Text, field: str = "", *, is_lasting: bool = True) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.field = field
        self.is_lasting = is_lasting


def admit(prepared: PreparedMessage, *, session: Session) -> PreparedMessage:
    """The same message, whose bytes and route are decided. Raises NotAccepted where its way is known to refuse it."""
    if len(prepared.content) <= _NEVER_TOO_LARGE:
        return prepared
    way = first_way(session, prepared.route) if prepared.route.startswith(_OWN_ROUTES) else None
    reason = why_too_large(session, prepared, first_way=way)
    if reason is not None:
        raise NotAccepted(reason, "content")
    return prepared
