"""One's own account: details, addresses, a new password, and where one is signed in."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flask import Response, flash
from flask_babel import gettext as _

from portal import email_settings
from portal.accounts import (
    addresses,
    failed_attempts,
    password_change,
    people,
    people_identifier,
    profile,
    session_list,
)
from portal.accounts import sign_in as signing_in
from portal.accounts.browser_views import account_mail, begin_session, end_session, form_page, note_failure, visitor
from portal.accounts.forms import ChangePasswordForm
from portal.accounts.password_rules import WeakPassword
from portal.accounts.profile_forms import ProfileForm
from portal.accounts.sign_in import SignedIn
from portal.accounts.user_help import why_no_mail
from portal.accounts.user_views import mail_state
from portal.extensions import config, db
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import current_actor, signed_in, signed_in_user
from portal.web.translation import translate


@signed_in
def show_profile() -> Response:
    user, form = signed_in_user(), _profile_form()
    if not form.validate_on_submit():
        return _page(form, ChangePasswordForm(formdata=None))
    with unit_of_work() as work:
        now = datetime.now(UTC)
        profile.change_own_details(work, user.id, form.details(), actor=current_actor(), now=now)
    flash(_("Your details were saved."), "ok")
    return see_other("accounts.profile")


@signed_in
def change_password() -> Response:
    user, form, now = signed_in_user(), ChangePasswordForm(), datetime.now(UTC)
    if not form.validate_on_submit():
        return _page(_profile_form(formdata=None), form)
    entered, before = form.change(), people.get(db.session(), user.id)
    if not signing_in.is_password_of(db.session(), db.engine, user.id, entered.current_password, now=now):
        note_failure(failed_attempts.failed_confirmation(user.email, current_actor()), now)
        form.current_password.errors = [_("This is not your current password.")]
        return _page(_profile_form(formdata=None), form)
    try:
        password_hash = password_change.hash_new_password(
            db.session(), user.id, entered.password, public_host=config.public_host
        )
    except WeakPassword as weak:
        form.password.errors = [translate(weak.reason)]
        return _page(_profile_form(formdata=None), form)
    with unit_of_work() as work:
        begun = password_change.change_own(work, before, password_hash, visitor=visitor(), mail=account_mail(), now=now)
    return _changed(begun)


def _changed(begun: SignedIn | None) -> Response:
    if begun is None:
        flash(_("Your password was not changed: you were signed out in the meantime. Sign in again."), "warn")
        return end_session(see_other("accounts.sign_in"))
    flash(_("Your password was changed. You were signed out everywhere else."), "ok")
    return begin_session(see_other("accounts.profile"), begun.token, begun.user_id)


def _profile_form(**options: Any) -> ProfileForm:
    own = asdict(profile.own_details(db.session(), signed_in_user().id))
    form: ProfileForm = ProfileForm(data=own, **options)
    return form


def _page(form: ProfileForm, password_form: ChangePasswordForm) -> Response:
    user, now, settings = signed_in_user(), datetime.now(UTC), email_settings.load(db.session())
    return form_page(
        "accounts/profile.html",
        form,
        password_form=password_form,
        roles=people.ROLES,
        now=now,
        addresses=addresses.listed(db.session(), user.id),
        written_to=people_identifier.choose(db.session(), user, settings),
        why_no_mail=why_no_mail(mail_state()),
        sessions=session_list.listed(db.session(), user.id, this=user.session_id, now=now),
    )
