"""The page `/`."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, current_app

from portal import outbox
from portal.extensions import db
from portal.overview.figures import figures
from portal.web import render, see_other
from portal.web.access import Role, current_user, public

blueprint = Blueprint("overview", __name__)


@blueprint.get("/")
@public
def show() -> Response:
    """Signed in: what stands and what waits; otherwise the sign-in."""
    user = current_user()
    if user is None:
        return see_other("accounts.sign_in")
    if user.role == Role.USER:
        return render("overview/own.html")
    session, now = db.session(), datetime.now(UTC)
    return render(
        "overview/show.html",
        connection=current_app.extensions["default_connection"](),
        worker_seen_at=outbox.worker_seen_at(session),
        figures=figures(session, now=now),
        now=now,
    )
