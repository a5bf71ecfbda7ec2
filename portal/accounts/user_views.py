"""The list of people, one of them, and a new one."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, current_app, flash, request
from flask_babel import gettext as _

from portal.accounts import address_changes, invitations, people, user_changes, user_list
from portal.accounts.browser_views import account_mail, form_page
from portal.accounts.invitations import Invited
from portal.accounts.people import NotAdded
from portal.accounts.user_changes import NotChanged
from portal.accounts.user_forms import NewUserForm, UserForm
from portal.accounts.user_help import why_no_mail
from portal.accounts.user_list import Wanted
from portal.accounts.user_names import LANGUAGES
from portal.accounts.user_page import ShownUser, find_user
from portal.connections import MailState
from portal.extensions import db
from portal.mail.header_text import one_line
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor, helpdesk_required, signed_in_user
from portal.web.translation import translate
from portal.web.urls import public_url_for


@helpdesk_required
def users() -> Response:
    """A page of the people that the query asks for; what it says wrongly counts for nothing."""
    asked = request.args
    wanted = Wanted(
        text=one_line(asked.get("text", ""))[: user_list.LONGEST_SEARCH],
        role=asked.get("role", "") if asked.get("role") in people.ROLES else "",
        state=asked.get("state", "") if asked.get("state") in user_list.STATES else "",
        after=one_line(asked.get("after", ""))[:640],
    )
    listing = user_list.list_users(db.session(), wanted, now=datetime.now(UTC))
    return render("accounts/users.html", wanted=wanted, listing=listing, roles=people.ROLES, states=user_list.STATES)


@admin_required
@confirm_password()
def new_user() -> Response:
    """Invite one person: an account without a password, and a link to choose one."""
    form = NewUserForm()
    if not form.validate_on_submit():
        return _new_page(form)
    try:
        with unit_of_work() as work:
            user_changes.require_administrator(work, current_actor())
            invited = invitations.add_and_invite(
                work,
                form.person(),
                actor=current_actor(),
                mail=account_mail(),
                link_for=link_for,
                now=datetime.now(UTC),
            )
    except NotAdded as refusal:
        form.form_errors.append(translate(refusal.reason))
        return _new_page(form)
    return invited_answer(invited)


@helpdesk_required
def show_user(user_id: UUID) -> Response:
    """One person: what is known, and what may be done."""
    user = shown_user(user_id)
    form = UserForm(formdata=None, obj=user_changes.details_of(db.session(), user_id))
    return user_page(user, form)


@admin_required
@confirm_password()
def change_user(user_id: UUID) -> Response:
    """Name, role and so on."""
    user, form = shown_user(user_id), UserForm()
    if not form.validate_on_submit():
        return user_page(user, form, status=422)
    has_attribute = user_changes.custom_attribute(db.session())
    details = form.details(custom=None if has_attribute else user.custom_value)
    try:
        with unit_of_work() as work:
            actor, mail, now = current_actor(), account_mail(), datetime.now(UTC)
            address_changes.change_details(work, user_id, details, actor=actor, mail=mail, now=now)
    except NotChanged as refusal:
        form[refusal.field or "role"].errors = [translate(refusal.reason)]
        return user_page(user, form, status=409)
    flash(_("The changes were saved."), "ok")
    return see_other("accounts.show_user", user_id=user_id)


def shown_user(user_id: UUID) -> ShownUser:
    """The person at this address, for whoever is signed in."""
    viewer = signed_in_user()
    found = find_user(db.session(), user_id, viewer_id=viewer.id, viewer_role=viewer.role, now=datetime.now(UTC))
    return found or abort(404)


def user_page(user: ShownUser, form: UserForm, *, status: int = 200) -> Response:
    return render(
        "accounts/user.html",
        status=status,
        shown=user,
        form=form,
        roles=people.ROLES,
        states=user_list.STATES,
        languages=LANGUAGES,
        custom_attribute=user_changes.custom_attribute(db.session()),
        why_no_mail=why_no_mail(mail_state()),
    )


def link_for(token: str) -> str:
    """The whole address of an invitation's page."""
    return public_url_for("accounts.invitation", token=token)


def mail_state() -> MailState:
    state: MailState = current_app.extensions["mail_state"](db.session())
    return state


def invited_answer(invited: Invited) -> Response:
    """Back to the person where a mail carries the link; else the link, shown this once."""
    if invited.why_not_mailed is not None:
        return render("accounts/user_invited.html", invited=invited)
    if mail_state() is MailState.CAPTURES:
        flash(
            _("The invitation for %(email)s is kept in this portal, under Captured mail.", email=invited.email), "warn"
        )
    else:
        flash(_("An invitation is on its way to %(email)s.", email=invited.email), "ok")
    return see_other("accounts.show_user", user_id=invited.user_id)


def _new_page(form: NewUserForm) -> Response:
    return form_page("accounts/user_new.html", form, why_no_mail=why_no_mail(mail_state()))
