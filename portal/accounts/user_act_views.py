"""What is done about a person with one button each, and the routes of all pages about people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, flash
from flask_babel import gettext as _
from werkzeug.exceptions import Forbidden

from portal.accounts import import_views, invitation_views, unlocking, user_changes, user_help, user_views
from portal.accounts.browser_views import account_mail
from portal.accounts.user_changes import NotAllowed, NotChanged
from portal.connections import MailState
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor, helpdesk_required
from portal.web.translation import translate

_FORM = ["GET", "POST"]


@admin_required
@confirm_password()
def disable_user(user_id: UUID) -> Response:
    return _done(user_id, user_changes.disable, _("The account is disabled, and nobody is signed in with it."))


@admin_required
@confirm_password()
def enable_user(user_id: UUID) -> Response:
    return _done(user_id, user_changes.enable, _("The account is enabled."))


@admin_required
def ask_to_delete_user(user_id: UUID) -> Response:
    """What deleting means, and the button."""
    return render("accounts/user_deletion.html", shown=user_views.shown_user(user_id))


@admin_required
@confirm_password()
def delete_user(user_id: UUID) -> Response:
    label = user_views.shown_user(user_id).label
    if not _act(user_id, user_changes.delete_user):
        return see_other("accounts.show_user", user_id=user_id)
    flash(_("%(name)s is deleted.", name=label), "ok")
    return see_other("accounts.users")


@admin_required
@confirm_password()
def invite_again(user_id: UUID) -> Response:
    """A new link in place of the one before."""
    act = partial(user_help.invite_again, mail=account_mail(), link_for=user_views.link_for)
    invited = _act(user_id, act)
    return user_views.invited_answer(invited) if invited else see_other("accounts.show_user", user_id=user_id)


@helpdesk_required
@confirm_password()
def send_reset(user_id: UUID) -> Response:
    act = partial(user_help.send_reset, mail_state=current_app.extensions["mail_state"])
    kept = _("The mail with a link to choose a new password is kept in this portal, under Captured mail.")
    return _mailed(user_id, act, _("A link to choose a new password is on its way to the owner's mailbox."), kept)


@admin_required
@confirm_password()
def force_reset(user_id: UUID) -> Response:
    act = partial(user_help.force_reset, mail_state=current_app.extensions["mail_state"])
    said = _("The password opens nothing any more. A link to choose a new one is on its way.")
    kept = _("The password opens nothing any more. The mail with a link is kept in this portal, under Captured mail.")
    return _mailed(user_id, act, said, kept)


@helpdesk_required
@confirm_password()
def unlock_user(user_id: UUID) -> Response:
    person = _act(user_id, user_help.record_unlocking)
    if person:
        unlocking.unlock(db.engine, person.id, person.email)
        flash(_("The account is unlocked: the owner can try again at once."), "ok")
    return see_other("accounts.show_user", user_id=user_id)


@helpdesk_required
@confirm_password()
def end_sessions(user_id: UUID) -> Response:
    return _done(user_id, user_help.end_sessions, _("Nobody is signed in with this account any more."))


@admin_required
@confirm_password()
def remove_second_factor(user_id: UUID) -> Response:
    act = partial(user_help.remove_second_factor, mail=account_mail())
    return _done(user_id, act, _("The second factor is removed, and a mail tells the owner."))


@admin_required
@confirm_password()
def remove_provider_link(user_id: UUID) -> Response:
    act = partial(user_help.remove_provider_link, mail=account_mail())
    return _done(user_id, act, _("The link with the provider is removed, and a mail tells the owner."))


@admin_required
@confirm_password()
def remove_security_questions(user_id: UUID) -> Response:
    act = partial(user_help.remove_security_questions, mail=account_mail())
    said = _("The security questions are removed. A reset asks for none until the owner has set new ones.")
    return _done(user_id, act, said)


def add_routes(blueprint: Blueprint) -> None:
    """All addresses about people and their invitations."""
    add, one = blueprint.add_url_rule, "/users/<uuid:user_id>"
    add("/users", "users", user_views.users)
    add("/users/new", "new_user", user_views.new_user, methods=_FORM)
    add(one, "show_user", user_views.show_user)
    add(one, "change_user", user_views.change_user, methods=["POST"])
    add(f"{one}/deletion", "user_deletion", ask_to_delete_user)
    add(f"{one}/deletion", "delete_user", delete_user, methods=["POST"])
    acts = {
        "disabling": disable_user,
        "enabling": enable_user,
        "invitations": invite_again,
        "password-reset": send_reset,
        "forced-reset": force_reset,
        "unlocking": unlock_user,
        "sign-outs": end_sessions,
        "second-factor-removal": remove_second_factor,
        "security-questions-removal": remove_security_questions,
        "provider-link-removal": remove_provider_link,
    }
    for name, view in acts.items():
        add(f"{one}/{name}", view_func=view, methods=["POST"])
    add("/users/import", "import_users", import_views.import_users, methods=_FORM)
    add("/users/import/<uuid:run_id>", "import_run", import_views.import_run)
    add("/users/import/<uuid:run_id>/confirmation", view_func=import_views.confirm_import, methods=["POST"])
    add("/users/import/<uuid:run_id>/report", "import_report", import_views.import_report)
    add("/invitations/<token>", "invitation", invitation_views.invitation, methods=_FORM)
    blueprint.app_errorhandler(NotAllowed)(_refuse)


def _refuse(_not_allowed: NotAllowed) -> Response:
    return cast("Response", current_app.handle_user_exception(Forbidden()))


def _done(user_id: UUID, act: Callable[..., Any], said: str, kind: str = "ok") -> Response:
    """Do it, say so, and go back to the person."""
    if _act(user_id, act):
        flash(said, kind)
    return see_other("accounts.show_user", user_id=user_id)


def _mailed(user_id: UUID, act: Callable[..., Any], said: str, kept: str) -> Response:
    """The same for an act that mails a link; `kept` is said where mail is only captured."""
    is_kept = user_views.mail_state() is MailState.CAPTURES
    return _done(user_id, act, kept if is_kept else said, "warn" if is_kept else "ok")


def _act(user_id: UUID, act: Callable[..., Any]) -> Any:
    """What the act returns, True for nothing; None where it was refused, which is said then."""
    try:
        with unit_of_work() as work:
            return act(work, user_id, actor=current_actor(), now=datetime.now(UTC)) or True
    except LookupError:
        abort(404)
    except NotChanged as refusal:
        flash(translate(refusal.reason), "bad")
    return None
