"""A text between its preview and its import: sealed, for the session that gave it, for a quarter of an hour.

It is kept as the candidates of the connections' checks are, and goes with them.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from portal.connections.candidates import LIFETIME, Asker, Candidate, find_candidate, forget_candidate, keep
from portal.connections.models import ConnectionCheck
from portal.connections.values import ConnectionValues, Method, Role, SecretAction, SecretChange
from portal.secret_box import SecretBox

MINUTES = int(LIFETIME.total_seconds()) // 60
_NAME = "Imported settings"
_TEXT = "imported_text"  # no secret field of any method has this name: what is kept here is never stored by a form


def keep_text(session: Session, text: bytes, *, asker: Asker, box: SecretBox, now: datetime) -> UUID:
    """Keep a text that was understood, and return what its preview is found by."""
    values = ConnectionValues(name=_NAME, method=Method.CAPTURE, role=Role.DRAFT)
    sealed = {_TEXT: SecretChange(SecretAction.REPLACE, text.decode("utf-8-sig"))}
    candidate = Candidate(connection_id=None, started_from=0, values=values, secrets=sealed)
    return keep(session, candidate, then="show", state="cancelled", asker=asker, box=box, now=now)


def find_text(session: Session, import_id: UUID, *, session_id: UUID, box: SecretBox, now: datetime) -> bytes | None:
    """The text that this session gave; None where it is gone."""
    candidate = find_candidate(session, import_id, session_id=session_id, box=box, now=now)
    kept = candidate.secrets.get(_TEXT) if candidate else None
    return kept.value.encode() if kept and kept.value else None


def take_text(session: Session, import_id: UUID, *, session_id: UUID, box: SecretBox, now: datetime) -> bytes | None:
    """The same, once: whoever sends the form twice at a time gets it for the first one alone."""
    session.get(ConnectionCheck, import_id, with_for_update=True, populate_existing=True)
    text = find_text(session, import_id, session_id=session_id, box=box, now=now)
    if text is not None:
        forget_candidate(session, import_id)
    return text
