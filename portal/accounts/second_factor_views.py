"""`/profile/second-factor`: the own authenticator app, passkeys and recovery codes."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, current_app, flash, request
from flask_babel import gettext as _
from markupsafe import Markup

from portal.accounts import ceremonies, passkeys, people, relying_party, second_factor, totp
from portal.accounts.browser_views import account_mail, challenge, cookie_jar, form_page, party_or_404
from portal.accounts.passkey_sign_in import Asked
from portal.accounts.relying_party import NAME
from portal.accounts.second_factor import Codes, LastFactor, Owner
from portal.accounts.second_factor_forms import AppCodeForm, NewPasskeyForm
from portal.accounts.totp import NewApp
from portal.accounts.ways_in import LastWayIn
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import confirm_password, current_actor, signed_in, signed_in_user

_PAGE = "accounts.second_factor"


@signed_in
@confirm_password()
def show() -> Response:
    return _page(NewPasskeyForm(formdata=None))


@signed_in
@confirm_password()
def begin_app() -> Response:
    """A new secret, which the next page shows."""
    with unit_of_work() as work:
        begun = totp.start(work, signed_in_user().id, box=secret_box, now=datetime.now(UTC))
    if not begun:
        flash(_("You have an authenticator app already. Remove it first to set up another one."), "warn")
    return see_other("accounts.new_app" if begun else _PAGE)


@signed_in
@confirm_password()
def new_app() -> Response:
    """The QR code and the secret; a first code confirms that the app has it."""
    app, now = _app_being_set_up(), datetime.now(UTC)
    if app is None:
        return see_other(_PAGE)
    form = AppCodeForm()
    if not form.validate_on_submit():
        return _app_page(form, app)
    with unit_of_work() as work:
        codes = second_factor.confirm_app(work, _owner(), form.code.data.replace(" ", ""), box=secret_box, now=now)
    if codes is None:
        form.code.errors = [_("This is not the code that the app shows now. Is the clock of the device right?")]
        return _app_page(form, app)
    return _done(_("The authenticator app is set up: signing in asks for its code from now on."), codes)


@signed_in
@confirm_password()
def remove_app() -> Response:
    if request.method != "POST":
        return _removal(_("Remove the authenticator app"), second_factor.of(db.session(), _me()).app_since is not None)
    try:
        with unit_of_work() as work:
            removed = second_factor.remove_app(work, _owner(), now=datetime.now(UTC))
    except LastFactor:
        return _kept()
    return _gone(removed, _("The authenticator app was removed."))


@signed_in
@confirm_password()
def ask_for_new_passkey() -> Response:
    party, now = party_or_404(), datetime.now(UTC)
    with unit_of_work() as work:
        new, options = passkeys.registration_options(work, people.get(work, _me()), party)
        token = ceremonies.start(work, "register", user_id=_me(), challenge=new, now=now)
    return challenge(Asked(options, token), "register")


@signed_in
@confirm_password()
def add_passkey() -> Response:
    party, now, form = party_or_404(), datetime.now(UTC), NewPasskeyForm()
    if not form.validate_on_submit():
        return _page(form)
    with unit_of_work() as work:
        token, answer = cookie_jar().ceremony(request, "register"), form.credential.data or ""
        codes = second_factor.register_passkey(work, _owner(), token, answer, form.name.data, party=party, now=now)
    if codes is None:
        form.name.errors = [_("The passkey was not added: the answer came too late or did not fit. Try again.")]
        return _page(form)
    return _done(_("The passkey was added."), codes)


@signed_in
@confirm_password()
def remove_passkey(passkey_id: UUID) -> Response:
    if request.method != "POST":
        found = [one for one in passkeys.listed(db.session(), _me()) if one.id == passkey_id]
        return _removal(_("Remove the passkey %(name)s", name=found[0].name) if found else "", bool(found))
    try:
        with unit_of_work() as work:
            removed = second_factor.remove_passkey(work, _owner(), passkey_id, now=datetime.now(UTC))
    except LastFactor:
        return _kept()
    except LastWayIn:
        flash(_("This passkey is your only way in. Add another one first; then this one can be removed."), "bad")
        return see_other(_PAGE)
    return _gone(removed, _("The passkey was removed."))


@signed_in
@confirm_password()
def renew_codes() -> Response:
    with unit_of_work() as work:
        codes = second_factor.renew_codes(work, _owner(), now=datetime.now(UTC))
    if codes is None:
        flash(_("Recovery codes are made with the first app or passkey."), "warn")
        return see_other(_PAGE)
    return _done(_("These are your new recovery codes. The former ones no longer work."), codes)


def _page(form: NewPasskeyForm) -> Response:
    party = relying_party.of_portal(current_app.config["PORTAL"].public_url)
    return form_page(
        "accounts/second_factor.html",
        form,
        has=second_factor.of(db.session(), _me()),
        is_due=second_factor.is_due(db.session(), _me()) and signed_in_user().is_admin,
        no_passkeys="" if isinstance(party, relying_party.RelyingParty) else party,
    )


def _app_being_set_up() -> NewApp | None:
    user, now = signed_in_user(), datetime.now(UTC)
    return totp.being_set_up(db.session(), user.id, account=user.email, issuer=NAME, box=secret_box, now=now)


def _app_page(form: AppCodeForm, app: NewApp) -> Response:
    return form_page("accounts/new_app.html", form, qr_code=Markup(app.qr_code()), secret=app.spelled)  # noqa: S704


def _removal(title: str, is_there: bool) -> Response:
    if not is_there:
        abort(404)
    has = second_factor.of(db.session(), _me())
    is_last = len(has.passkeys) + (has.app_since is not None) == 1
    return render("accounts/factor_removal.html", title=title, is_last=is_last)


def _gone(removed: bool, told: str) -> Response:
    if not removed:
        abort(404)
    flash(told, "ok")
    return see_other(_PAGE)


def _kept() -> Response:
    flash(_("Administrators must have a second factor. Add another one first; then this one can be removed."), "bad")
    return see_other(_PAGE)


def _done(told: str, codes: Codes) -> Response:
    """New recovery codes are shown once, in this very answer."""
    if codes:
        return render("accounts/recovery_codes.html", told=told, codes=codes)
    flash(told, "ok")
    return see_other(_PAGE)


def _owner() -> Owner:
    return Owner(_me(), current_actor(), account_mail())


def _me() -> UUID:
    return signed_in_user().id
