"""This room's pages, and who is signed in: `g.user` is filled before any view runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

from flask import Blueprint, Response, current_app, g, request, session
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import TooManyRequests

from portal.accounts import (
    address_views,
    app_code_views,
    passkey_views,
    profile_views,
    provider_views,
    recovery_settings_views,
    reset_code_views,
    reset_views,
    second_factor,
    second_factor_views,
    second_step_views,
    security_question_views,
    session_list_views,
    sessions,
    setup_views,
    sign_in_settings_views,
    sign_in_views,
    user_act_views,
)
from portal.accounts.browser_views import CONFIRMED_FOR, cookie_jar
from portal.accounts.passwords import TooBusy
from portal.extensions import db
from portal.web import see_other
from portal.web.access import CONFIRM_PASSWORD_PATH, Role, SignedInUser, current_user, mark_of, signed_in_user
from portal.web.problems import asks_for_problems
from portal.web.rendering import wants_fragment

CONFIRMATION_LIFETIME = timedelta(minutes=5)  # between giving the password and opening the page that asked for it

blueprint = Blueprint("accounts", __name__)
_FORM = ["GET", "POST"]
blueprint.add_url_rule("/setup", view_func=setup_views.set_up, methods=_FORM)
blueprint.add_url_rule("/sign-in", view_func=sign_in_views.sign_in, methods=_FORM)
blueprint.add_url_rule("/sign-out", view_func=sign_in_views.sign_out, methods=["POST"])
blueprint.add_url_rule("/confirm-password", view_func=sign_in_views.confirm_password, methods=_FORM)
blueprint.add_url_rule("/forgot-password", view_func=reset_views.forgot_password, methods=_FORM)
blueprint.add_url_rule("/reset-password", view_func=reset_code_views.reset_by_code, methods=_FORM)
blueprint.add_url_rule("/reset-password/<token>", view_func=reset_views.reset_password, methods=_FORM)
blueprint.add_app_template_global(reset_views.link_text, "recovery_link_text")
blueprint.add_app_template_global(security_question_views.asked_questions, "asked_questions")
blueprint.add_app_template_global(reset_views.new_password_hint, "new_password_hint")
blueprint.add_url_rule("/recovery-settings", "recovery_settings", recovery_settings_views.show)
blueprint.add_url_rule(
    "/recovery-settings", "change_recovery_settings", recovery_settings_views.change, methods=["POST"]
)
blueprint.add_url_rule(
    "/profile/security-questions", view_func=security_question_views.security_questions, methods=_FORM
)
blueprint.add_url_rule("/profile", "profile", profile_views.show_profile, methods=_FORM)
blueprint.add_url_rule("/profile/password", view_func=profile_views.change_password, methods=["POST"])
address_views.add_routes(blueprint)
blueprint.add_url_rule("/profile/sessions/endings", view_func=session_list_views.end_other_sessions, methods=["POST"])
blueprint.add_url_rule(
    "/profile/sessions/<uuid:session_id>/ending", view_func=session_list_views.end_own_session, methods=["POST"]
)
blueprint.add_url_rule("/sign-in/second-factor", "second_step", second_step_views.give_code, methods=_FORM)
blueprint.add_url_rule(
    "/sign-in/second-factor/passkey/options", view_func=second_step_views.ask_for_passkey, methods=["POST"]
)
blueprint.add_url_rule("/sign-in/second-factor/passkey", view_func=second_step_views.give_passkey, methods=["POST"])
blueprint.add_url_rule("/sign-in/passkey/options", view_func=passkey_views.ask_to_sign_in, methods=["POST"])
blueprint.add_url_rule("/sign-in/passkey", view_func=passkey_views.sign_in_by_passkey, methods=["POST"])
blueprint.add_url_rule("/confirm-password/passkey/options", view_func=passkey_views.ask_to_confirm, methods=["POST"])
blueprint.add_url_rule("/confirm-password/app-code", view_func=app_code_views.confirm_by_app_code, methods=["POST"])
blueprint.add_url_rule("/confirm-password/passkey", view_func=passkey_views.confirm_by_passkey, methods=["POST"])
_OWN = "/profile/second-factor"
blueprint.add_url_rule(_OWN, "second_factor", second_factor_views.show)
blueprint.add_url_rule(f"{_OWN}/app", view_func=second_factor_views.new_app, methods=_FORM)
blueprint.add_url_rule(f"{_OWN}/app/secret", view_func=second_factor_views.begin_app, methods=["POST"])
blueprint.add_url_rule(f"{_OWN}/app/removal", view_func=second_factor_views.remove_app, methods=_FORM)
blueprint.add_url_rule(f"{_OWN}/passkeys/options", view_func=second_factor_views.ask_for_new_passkey, methods=["POST"])
blueprint.add_url_rule(f"{_OWN}/passkeys", view_func=second_factor_views.add_passkey, methods=["POST"])
blueprint.add_url_rule(
    f"{_OWN}/passkeys/<uuid:passkey_id>/removal", view_func=second_factor_views.remove_passkey, methods=_FORM
)
blueprint.add_url_rule(f"{_OWN}/recovery-codes", view_func=second_factor_views.renew_codes, methods=["POST"])
blueprint.add_url_rule("/sign-in-settings", "sign_in_settings", sign_in_settings_views.show)
blueprint.add_url_rule("/sign-in-settings", "change_sign_in_settings", sign_in_settings_views.change, methods=["POST"])
provider_views.add_routes(blueprint)
user_act_views.add_routes(blueprint)


@blueprint.before_app_request
def load_user() -> None:
    """Fill `g.user` for this request. What htmx fetches by itself keeps no session alive."""
    if request.endpoint == "static" or request.blueprint == "health" or asks_for_problems():
        return  # a program is known by its key alone, whatever cookies come along
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
            language=found.language,
            time_zone=found.time_zone,
        )


@blueprint.before_app_request
def ask_for_second_factor() -> Response | None:
    """An administrator who must have a second factor and has none sets one up before anything else."""
    user, view = current_user(), current_app.view_functions.get(request.endpoint or "")
    if user is None or not user.is_admin or view is None or _is_open_without(request.path, view):
        return None
    if not second_factor.is_due(db.session(), user.id):
        return None
    return Response("", 401, {"HX-Redirect": _OWN}) if wants_fragment() else see_other(_OWN)


@blueprint.app_errorhandler(TooBusy)
def refuse_for_now(busy: TooBusy) -> Response:
    """429 with Retry-After: other pages stay quick while passwords queue."""
    refusal = TooManyRequests(retry_after=busy.retry_after_seconds)
    return cast("Response", current_app.handle_user_exception(refusal))


def take_confirmation(path: str) -> bool:
    """Whether the password was given for this very page just now. Counts once, whatever cookie is sent again."""
    user, given = signed_in_user(), session.pop(CONFIRMED_FOR, None)
    if given != (path, user.confirmed_at.isoformat()):
        return False
    is_fresh = timedelta(0) <= datetime.now(UTC) - user.confirmed_at <= CONFIRMATION_LIFETIME
    return is_fresh and sessions.take_confirmation(db.engine, user.session_id, user.confirmed_at)


def _is_open_without(path: str, view: Callable[..., object]) -> bool:
    """What is everybody's, but for the overview, and what sets a second factor up."""
    return (mark_of(view) == "public" and path != "/") or path.startswith((_OWN, CONFIRM_PASSWORD_PATH))


@blueprint.record_once
def _hand_over(state: BlueprintSetupState) -> None:
    state.app.extensions["take_confirmation"] = take_confirmation
