"""The own addresses, the page that validates one, and an administrator's change of somebody's primary address."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, Response, abort, flash, request
from flask_babel import gettext as _

from portal.accounts import address_changes, address_validation, addresses
from portal.accounts.address_forms import NewAddressForm, PrimaryAddressForm, ValidateAddressForm
from portal.accounts.address_validation import Asking, Claim, Taken
from portal.accounts.browser_views import account_mail, form_page
from portal.accounts.user_changes import NotChanged
from portal.accounts.user_help import why_no_mail
from portal.accounts.user_views import mail_state, shown_user
from portal.connections import MailState
from portal.extensions import db
from portal.mail.addresses import same_address_key
from portal.mail_service import NotAccepted
from portal.transaction import unit_of_work
from portal.web import limits, render, see_other
from portal.web.access import (
    admin_required,
    confirm_password,
    current_actor,
    current_user,
    go_to_sign_in,
    public,
    signed_in,
    signed_in_user,
)
from portal.web.translation import translate
from portal.web.urls import public_url_for

MAILS_OF_ONE = "10/hour"  # that one person has sent
MAILS_TO_ONE = "10/hour"  # to one address, whoever asks
MAILS_OVERALL = "500/hour"
GUESSES = "30/10 minutes"  # of links that do not work, from one client address


@signed_in
@confirm_password()
def new_address() -> Response:
    form = NewAddressForm()
    if not form.validate_on_submit():
        return _new_page(form)
    _count_mail(form.address.data)
    try:
        with unit_of_work() as work:
            is_primary = bool(form.becomes_primary.data)
            address_validation.claim(work, _me(), form.address.data, becomes_primary=is_primary, asking=_asking())
    except NotChanged as refusal:
        form.address.errors = [translate(refusal.reason)]
        return _new_page(form)
    except NotAccepted as refusal:
        form.form_errors.append(translate(refusal.reason))
        return _new_page(form)
    return _mailed(form.address.data)


@signed_in
def send_validation_again(address_id: UUID) -> Response:
    try:
        _count_mail(addresses.find(db.session(), _me(), address_id).address)
        with unit_of_work() as work:
            address = address_validation.send_again(work, _me(), address_id, asking=_asking())
    except LookupError:
        abort(404)
    except (NotChanged, NotAccepted) as refusal:
        flash(translate(refusal.reason), "bad")
        return see_other("accounts.profile")
    return _mailed(address)


@signed_in
@confirm_password()
def make_address_primary(address_id: UUID) -> Response:
    said = _("%(address)s is your primary address now. A mail to the former one tells of it.")
    return _changed(address_changes.make_primary, address_id, said)


@signed_in
@confirm_password()
def remove_address(address_id: UUID) -> Response:
    return _changed(address_changes.remove, address_id, _("%(address)s is no more one of your addresses."))


@public
def account_validation(token: str) -> Response:
    """The page of a link; its button uses it up, in a session of the account that it belongs to."""
    form, now, user = ValidateAddressForm(), datetime.now(UTC), current_user()
    claimed = address_validation.find(db.session(), token)
    if claimed is None or claimed.has_expired(now):
        return _dead_link(claimed)
    if user is None or user.id != claimed.user_id:
        return _not_signed_in_to_it()
    if not form.validate_on_submit():
        return form_page("accounts/account_validation.html", form, claimed=claimed)
    try:
        with unit_of_work() as work:
            actor, mail = current_actor(), account_mail()
            validated = address_validation.validate(work, token, actor=actor, mail=mail, now=now)
    except Taken:
        return render("accounts/account_validation_taken.html", status=409, claimed=claimed)
    return _validated(validated) if validated else _dead_link(None)


@admin_required
@confirm_password()
def change_address(user_id: UUID) -> Response:
    """On an administrator's word, at once; the former address is told."""
    shown, form = shown_user(user_id), PrimaryAddressForm()
    if not form.validate_on_submit():
        return form_page("accounts/user_address.html", form, shown=shown)
    try:
        with unit_of_work() as work:
            actor, mail, now = current_actor(), account_mail(), datetime.now(UTC)
            address_changes.change_for(work, user_id, form.email.data, actor=actor, mail=mail, now=now)
    except NotChanged as refusal:
        form.email.errors = [translate(refusal.reason)]
        return form_page("accounts/user_address.html", form, shown=shown)
    flash(_("The address is changed. A mail to the former one tells of it."), "ok")
    return see_other("accounts.show_user", user_id=user_id)


def add_routes(blueprint: Blueprint) -> None:
    """All addresses about addresses."""
    add, form, own = blueprint.add_url_rule, ["GET", "POST"], "/profile/addresses"
    add(f"{own}/new", view_func=new_address, methods=form)
    add(f"{own}/<uuid:address_id>/validation", view_func=send_validation_again, methods=["POST"])
    add(f"{own}/<uuid:address_id>/primary", view_func=make_address_primary, methods=["POST"])
    add(f"{own}/<uuid:address_id>/removal", view_func=remove_address, methods=["POST"])
    add("/account-validations/<token>", view_func=account_validation, methods=form)
    add("/users/<uuid:user_id>/address", view_func=change_address, methods=form)


def _changed(act: Callable[..., str], address_id: UUID, said: str) -> Response:
    """Do it with the own address, say so, and go back."""
    try:
        with unit_of_work() as work:
            mail, now = account_mail(), datetime.now(UTC)
            address = act(work, _me(), address_id, actor=current_actor(), mail=mail, now=now)
    except LookupError:
        abort(404)
    except NotChanged as refusal:
        flash(translate(refusal.reason), "bad")
    else:
        flash(said % {"address": address}, "ok")
    return see_other("accounts.profile")


def _asking() -> Asking:
    return Asking(current_actor(), account_mail(), _link_for, datetime.now(UTC))


def _count_mail(address: str) -> None:
    """Nobody's mailbox is filled from here. Raises TooManyRequests."""
    uses = (
        (MAILS_OF_ONE, ("address validation by", str(_me()))),
        (MAILS_TO_ONE, ("address validation to", same_address_key(address))),
        (MAILS_OVERALL, ("address validation",)),
    )
    limits.require_all(db.engine, uses, datetime.now(UTC))


def _mailed(address: str) -> Response:
    if mail_state() is MailState.CAPTURES:
        told = _(
            "The portal sends no mail at present. The link for %(address)s is kept in it: ask an administrator for it.",
            address=address,
        )
        flash(told, "warn")
    else:
        flash(_("A link is on its way to %(address)s. Open it there within a day.", address=address), "ok")
    return see_other("accounts.profile")


def _validated(claimed: Claim) -> Response:
    told = _("%(address)s is validated.", address=claimed.address)
    if claimed.becomes_primary:
        told = _("%(address)s is validated, and the primary address now.", address=claimed.address)
    flash(told, "ok")
    return see_other("accounts.profile")


def _not_signed_in_to_it() -> Response:
    """The link alone opens nothing: whoever reads a mail that went astray has it, too. No account is named."""
    if current_user() is not None:
        return render("accounts/account_validation_other.html", status=403)
    if request.method == "POST":
        return go_to_sign_in()
    return render("accounts/account_validation_sign_in.html")


def _dead_link(claimed: Claim | None) -> Response:
    """Too old, which is said where it is known; else one page for whatever else is wrong with it."""
    if request.method == "POST":
        limits.require(db.engine, GUESSES, "validation link", limits.client_key(request.remote_addr or ""))
    return render("accounts/account_validation_dead.html", status=410 if claimed else 404, claimed=claimed)


def _new_page(form: NewAddressForm) -> Response:
    return form_page("accounts/profile_address_new.html", form, why_no_mail=why_no_mail(mail_state()))


def _link_for(token: str) -> str:
    return public_url_for("accounts.account_validation", token=token)


def _me() -> UUID:
    return signed_in_user().id
