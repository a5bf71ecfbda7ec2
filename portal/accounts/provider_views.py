"""The way to the organisation's provider: to sign in, to link one's own account, to show who one is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, flash, make_response, redirect, request
from flask_babel import gettext as _

from portal.accounts import people, provider_callback_views, provider_links, provider_settings, provider_sign_ins
from portal.accounts.browser_views import account_mail, cookie_jar
from portal.accounts.provider_callback_views import COOKIE, openid, redirect_uri
from portal.accounts.provider_refusals import ProviderRefused
from portal.accounts.provider_settings import ProviderSettings
from portal.accounts.provider_sign_ins import Purpose
from portal.accounts.ways_in import LastWayIn
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import limits, see_other
from portal.web.access import (
    confirm_password,
    current_actor,
    current_user,
    public,
    safe_next,
    signed_in,
    signed_in_user,
)
from portal.web.headers import extend_policy
from portal.web.translation import translate

STARTS_PER_ADDRESS = "100/10 minutes"  # a whole office may share one
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Offer:
    """The provider as buttons name it; since when the person signed in has linked it."""

    name: str
    linked_at: datetime | None = None


@public
def begin() -> Response:
    target = safe_next(request.form.get("next"))
    return _away(Purpose.SIGN_IN, next_path=target, back=see_other("accounts.sign_in", next=target))


@public
def wait_at_sign_in() -> Response:
    """Nobody is sent to the provider by a link alone."""
    return see_other("accounts.sign_in")


@signed_in
@confirm_password()
def begin_link() -> Response:
    return _away(Purpose.LINK, next_path="/profile", back=see_other("accounts.profile"))


@signed_in
def begin_confirmation() -> Response:
    target = safe_next(request.form.get("next"))
    return _away(Purpose.CONFIRM, next_path=target, back=see_other("accounts.confirm_password", next=target))


@signed_in
@confirm_password()
def remove_link() -> Response:
    user, now = signed_in_user(), datetime.now(UTC)
    try:
        with unit_of_work() as work:
            is_removed = provider_links.remove_own(work, user.id, actor=current_actor(), mail=account_mail(), now=now)
    except LastWayIn:
        flash(_("This is your only way in. Add a passkey first, or ask an administrator for a password."), "bad")
        return see_other("accounts.profile")
    if is_removed:
        flash(_("The link with your account at the provider was removed."), "ok")
    return see_other("accounts.profile")


def offer() -> Offer | None:
    """For the pages with a button that leads to the provider; None where none is set up."""
    settings, user = provider_settings.load(db.session()), current_user()
    if not settings.is_set_up:
        return None
    _let_forms_lead_there(settings)
    linked_at = provider_links.linked_since(db.session(), user.id, settings.issuer) if user else None
    return Offer(settings.name, linked_at)


def has_own_password() -> bool:
    """Whether the person signed in has a password here; else the pages say which way in is theirs."""
    return people.get(db.session(), signed_in_user().id).password_hash is not None


def _let_forms_lead_there(settings: ProviderSettings) -> None:
    """Chromium holds every redirect that follows a form against `form-action`, and a provider may redirect at once
    to an organisation's own server, which nobody can name beforehand: hence the scheme, on these pages alone.
    """
    parts = urlsplit(settings.issuer)
    extend_policy("form-action", "https:", *([f"http://{parts.netloc}"] if parts.scheme == "http" else []))


def _away(purpose: Purpose, *, next_path: str, back: Response) -> Response:
    """303 to the provider; `back` with the reason where that cannot be."""
    now, user = datetime.now(UTC), None if purpose is Purpose.SIGN_IN else signed_in_user()
    with unit_of_work() as work:
        client = provider_settings.client_of(work, box=secret_box)
    if client is None:
        flash(_("Signing in with a provider is not set up here."), "bad")
        return back
    limits.require(
        db.engine, STARTS_PER_ADDRESS, "provider address", limits.client_key(request.remote_addr or ""), now=now
    )
    try:
        asks_again = purpose is Purpose.CONFIRM
        started = openid().start(client, redirect_uri=redirect_uri(), asks_again=asks_again, now=now)
    except ProviderRefused as refusal:
        _log.warning("the provider could not be asked", code=refusal.code, seen=refusal.seen)
        flash(translate(refusal.reason), "bad")
        return back
    with unit_of_work() as work:
        token = provider_sign_ins.keep(
            work,
            started,
            client=client,
            purpose=purpose,
            user_id=user.id if user else None,
            next_path=next_path,
            box=secret_box,
            now=now,
        )
    response = make_response(redirect(started.url, 303))
    cookie_jar().keep_ceremony(response, COOKIE, token)
    return response


def add_routes(blueprint: Blueprint) -> None:
    """The routes of this module and of the way back."""
    post = ["POST"]
    blueprint.add_url_rule("/sign-in/oidc", "wait_for_provider", wait_at_sign_in)
    blueprint.add_url_rule("/sign-in/oidc", "sign_in_by_provider", begin, methods=post)
    blueprint.add_url_rule("/sign-in/oidc/callback", "provider_callback", provider_callback_views.called_back)
    blueprint.add_url_rule("/profile/provider", "link_provider", begin_link, methods=post)
    blueprint.add_url_rule("/profile/provider/removal", "unlink_provider", remove_link, methods=post)
    blueprint.add_url_rule("/confirm-password/provider", "confirm_by_provider", begin_confirmation, methods=post)
    blueprint.add_app_template_global(offer, "provider_offer")
    blueprint.add_app_template_global(has_own_password, "has_own_password")
