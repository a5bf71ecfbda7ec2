"""unit_of_work(): the only place that begins and commits for views, commands and jobs.

Room functions take part in the caller's unit of work and never commit. No network call stands inside one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from portal.database import WRITING_OPTIONS
from portal.extensions import db

_OPEN = "portal_unit_of_work"


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """Begin, hand out the session, commit; roll back whatever raises.

    Reads made before are forgotten, so that what is decided inside is read inside, under the write lock
    (SQLite) or in its own snapshot (PostgreSQL). Raises RuntimeError when one is open already.
    """
    session = db.session()
    if session.info.get(_OPEN):
        raise RuntimeError("a unit of work is already open")
    session.rollback()
    session.connection(execution_options=WRITING_OPTIONS)
    session.info[_OPEN] = True
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info.pop(_OPEN, None)
