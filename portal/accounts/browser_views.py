"""What the views of this room share: the browser's cookies, the start and end of its session, a form's page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from flask import Response, abort, current_app, request, session
from flask_wtf import FlaskForm

from portal.accounts import failed_attempts
from portal.accounts.cookies import Jar
from portal.accounts.failed_attempts import Failure
from portal.accounts.passkey_sign_in import Asked
from portal.accounts.relying_party import RelyingParty, of_portal
from portal.accounts.sign_in import SecondFactorAwaited, SignedIn, Visitor
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import current_user, safe_next
from portal.web.translation import chosen_language

if TYPE_CHECKING:
    from portal.accounts.account_mail import AccountMail

SECOND_STEP = "/sign-in/second-factor"
CONFIRMED_FOR = "confirmed_for"  # in Flask's session: the page that the password was given for, and when


def cookie_jar() -> Jar:
    """The cookies of this portal."""
    config = current_app.config["PORTAL"]
    return Jar(config.is_https, current_app.extensions["secret_box"].signing_keys)


def account_mail() -> AccountMail:
    """The mails about an account, as the composition root has wired them."""
    return cast("AccountMail", current_app.extensions["account_mail"])


def visitor() -> Visitor:
    """The browser that the request comes from."""
    user, device = current_user(), cookie_jar().device(request)
    session_id = user.session_id if user else None
    address, agent = request.remote_addr or "", request.user_agent.string
    return Visitor(address, agent, device, session_id, chosen_language())


def begin_session(response: Response, token: str, user_id: UUID) -> Response:
    """Hand the browser its new session. What it had before, the seed of its CSRF tokens too, is gone."""
    _forget_former()
    cookie_jar().keep_session(response, token)
    return remember_device(response, user_id)


def go_on(begun: SignedIn | SecondFactorAwaited, target: str | None) -> Response:
    """Away to `target` with a new session, or to the second factor first."""
    if isinstance(begun, SignedIn):
        return begin_session(see_other(safe_next(target)), begun.token, begun.user_id)
    response = see_other(SECOND_STEP)
    cookie_jar().keep_ceremony(response, "sign_in", begun.token)
    return response


def relying_party() -> RelyingParty | None:
    """Who the portal is to passkeys; None where its public URL allows none."""
    party = of_portal(current_app.config["PORTAL"].public_url)
    return party if isinstance(party, RelyingParty) else None


def party_or_404() -> RelyingParty:
    """The same for what needs one. Raises NotFound."""
    party = relying_party()
    if party is None:
        abort(404)
    return party


def challenge(asked: Asked, purpose: str) -> Response:
    """What `passkeys.js` hands to the browser, with the cookie of its ceremony."""
    response = Response(asked.options, mimetype="application/json")
    cookie_jar().keep_ceremony(response, purpose, asked.token)
    return response


def remember_device(response: Response, user_id: UUID) -> Response:
    """This person has proved to be at this browser: strangers' guesses do not keep the person out here."""
    jar = cookie_jar()
    jar.keep_device(response, jar.device(request).with_person(user_id))
    return response


def end_session(response: Response) -> Response:
    """Take the session away from the browser."""
    _forget_former()
    cookie_jar().drop_session(response)
    return response


def note_failure(failure: Failure, now: datetime) -> None:
    """Leave an audit row of what was tried in vain, where the hour has room for one."""
    if failed_attempts.may_record(db.engine, failure, now=now):
        with unit_of_work() as work:
            failed_attempts.record(work, failure, now=now)


def form_page(page: str, form: FlaskForm, **context: Any) -> Response:
    """The page of a form: 422 where it was sent and is shown again with what is wrong."""
    return render(page, status=422 if request.method == "POST" else 200, form=form, **context)


def _forget_former() -> None:
    notices = session.get("_flashes")
    session.clear()
    if notices:
        session["_flashes"] = notices
