"""This room's pages, and who is signed in: `g.user` is filled before any view runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import cast

from flask import Blueprint, Response, current_app, g, request, session
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import TooManyRequests

from portal.accounts import profile_views, reset_views, sessions, setup_views, sign_in_views
from portal.accounts.browser_views import CONFIRMED_FOR, cookie_jar
from portal.accounts.passwords import RETRY_AFTER_SECONDS, TooBusy
from portal.extensions import db
from portal.web.access import Role, SignedInUser

CONFIRMATION_SECONDS = 300  # between giving the password and opening the page that it was asked for

blueprint = Blueprint("accounts", __name__)
_FORM = ["GET", "POST"]
blueprint.add_url_rule("/setup", view_func=setup_views.set_up, methods=_FORM)
blueprint.add_url_rule("/sign-in", view_func=sign_in_views.sign_in, methods=_FORM)
blueprint.add_url_rule("/sign-out", view_func=sign_in_views.sign_out, methods=["POST"])
blueprint.add_url_rule("/confirm-password", view_func=sign_in_views.confirm_password, methods=_FORM)
blueprint.add_url_rule("/forgot-password", view_func=reset_views.forgot_password, methods=_FORM)
blueprint.add_url_rule("/reset-password/<token>", view_func=reset_views.reset_password, methods=_FORM)
blueprint.add_url_rule("/profile", view_func=profile_views.profile, methods=_FORM)
blueprint.add_url_rule("/profile/password", view_func=profile_views.change_password, methods=["POST"])


@blueprint.before_app_request
def load_user() -> None:
    """Fill `g.user` for this request. What htmx fetches by itself keeps no session alive."""
    if request.endpoint == "static" or request.blueprint == "health":
        return
    is_polling = request.method == "GET" and "HX-Request" in request.headers
    found = sessions.resume(
        db.engine, cookie_jar().session_token(request), now=datetime.now(UTC), is_activity=not is_polling
    )
    if found is not None:
        g.user = SignedInUser(
            id=found.user_id,
            email=found.email,
            name=found.name,
            role=Role(found.role),
            session_id=found.id,
            confirmed_at=found.confirmed_at,
        )


@blueprint.app_errorhandler(TooBusy)
def refuse_for_now(_busy: TooBusy) -> Response:
    """429 with Retry-After: other pages stay quick while passwords queue."""
    refusal = TooManyRequests(retry_after=RETRY_AFTER_SECONDS)
    return cast("Response", current_app.handle_user_exception(refusal))


def take_confirmation(path: str) -> bool:
    """Whether the password was given for this very page just now. Counts once."""
    given_for, given_at = session.pop(CONFIRMED_FOR, ("", 0))
    return bool(given_for == path and 0 <= time.time() - given_at <= CONFIRMATION_SECONDS)


@blueprint.record_once
def _hand_over(state: BlueprintSetupState) -> None:
    state.app.extensions["take_confirmation"] = take_confirmation
