"""One's own account: the name, and a new password."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, flash
from flask_babel import gettext as _

from portal.accounts import password_change, people
from portal.accounts import sign_in as signing_in
from portal.accounts.browser_views import account_mail, begin_session, form_page, visitor
from portal.accounts.forms import ChangePasswordForm, ProfileForm
from portal.accounts.password_rules import WeakPassword
from portal.extensions import config, db
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import current_actor, signed_in, signed_in_user
from portal.web.translation import translate


@signed_in
def profile() -> Response:
    user, form = signed_in_user(), _profile_form()
    if not form.validate_on_submit():
        return _page(form, ChangePasswordForm(formdata=None))
    with unit_of_work() as work:
        people.rename(work, user.id, form.name.data, actor=current_actor(), now=datetime.now(UTC))
    flash(_("Your name was saved."), "ok")
    return see_other("accounts.profile")


@signed_in
def change_password() -> Response:
    user, form, now = signed_in_user(), ChangePasswordForm(), datetime.now(UTC)
    if not form.validate_on_submit():
        return _page(_profile_form(formdata=None), form)
    entered = form.change()
    if not signing_in.is_password_of(db.session(), db.engine, user.id, entered.current_password, now=now):
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
        begun = password_change.change_own(
            work, user.id, password_hash, visitor=visitor(), mail=account_mail(), now=now
        )
    flash(_("Your password was changed. You were signed out everywhere else."), "ok")
    return begin_session(see_other("accounts.profile"), begun.token, begun.user_id)


def _profile_form(**options: Any) -> ProfileForm:
    form: ProfileForm = ProfileForm(data={"name": signed_in_user().name}, **options)
    return form


def _page(form: ProfileForm, password_form: ChangePasswordForm) -> Response:
    return form_page("accounts/profile.html", form, password_form=password_form, roles=people.ROLES)
