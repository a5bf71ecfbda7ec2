"""Back from the organisation's provider: what was begun is used up first, then its code is redeemed, then it counts.

The code leaves the address bar at once: but for an answer that nobody here waits for, each ends in a redirect.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from flask import Response, flash, request
from flask_babel import gettext as _

from portal.accounts import provider_claims, provider_links, provider_people, provider_settings, provider_sign_ins
from portal.accounts.browser_views import account_mail, cookie_jar, go_on, visitor
from portal.accounts.oidc import Client, OpenID
from portal.accounts.provider_claims import Arrival
from portal.accounts.provider_links import MetAnother
from portal.accounts.provider_refusals import ProviderRefused, another_person, changed_meanwhile
from portal.accounts.provider_settings import ProviderSettings
from portal.accounts.provider_sign_ins import ComingBack, Purpose
from portal.accounts.sign_in_views import confirmed
from portal.extensions import db, handed_down, secret_box
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import current_actor, current_user, public, signed_in_user
from portal.web.translation import translate
from portal.web.urls import public_url_for
from portal.wording import Text

COOKIE = "provider"  # what the browser's cookie is called after
LEEWAY = timedelta(seconds=60)
_LONGEST_PARAMETER = 4096  # characters; codes and states are far shorter
_log = structlog.get_logger(__name__)


def openid() -> OpenID:
    """Speaks to providers, as the composition root has wired it."""
    return cast("OpenID", handed_down("openid"))


def redirect_uri() -> str:
    """Where the provider sends browsers back to; built from the public URL alone."""
    return public_url_for("accounts.provider_callback")


@public
def called_back() -> Response:
    now, token = datetime.now(UTC), cookie_jar().ceremony(request, COOKIE)
    with unit_of_work() as work:
        back = provider_sign_ins.claim(work, _single("state"), token, box=secret_box, now=now)
        client, settings = provider_settings.client_of(work, box=secret_box), provider_settings.load(work)
    if back is None:
        return render("accounts/provider_problem.html", status=400)
    try:
        claims = _claims(back, client, settings, now)
        response = _ended(back, provider_claims.arrival(claims, settings), settings, now)
    except (ProviderRefused, MetAnother) as refusal:
        response = _refused(back, refusal)
    cookie_jar().drop_ceremony(response, COOKIE)
    return response


def _claims(back: ComingBack, client: Client | None, settings: ProviderSettings, now: datetime) -> Mapping[str, Any]:
    """What the provider says of who came back. Raises ProviderRefused."""
    user = current_user()
    if back.user_id is not None and (user is None or user.id != back.user_id):
        raise another_person()
    if client is None or (client.issuer, client.client_id) != (back.issuer, back.client_id):
        raise changed_meanwhile()
    return openid().redeem(
        client,
        {name: _single(name) for name in request.args},
        verifier=back.verifier,
        nonce=back.nonce,
        redirect_uri=redirect_uri(),
        wanted=provider_claims.wanted_claims(settings),
        now=now,
    )


def _ended(back: ComingBack, who: Arrival, settings: ProviderSettings, now: datetime) -> Response:
    match back.purpose:
        case Purpose.SIGN_IN:
            return _let_in(back, who, settings, now)
        case Purpose.LINK:
            return _linked(who, now)
        case Purpose.CONFIRM:
            return _confirmed(back, who, now)


def _let_in(back: ComingBack, who: Arrival, settings: ProviderSettings, now: datetime) -> Response:
    with unit_of_work() as work:
        begun = provider_people.let_in(
            work, who, settings, visitor=visitor(), next_path=back.next_path, mail=account_mail(), now=now
        )
    if not isinstance(begun, Text):
        return go_on(begun, back.next_path)
    flash(translate(begun), "bad")
    return see_other("accounts.sign_in", next=back.next_path)


def _linked(who: Arrival, now: datetime) -> Response:
    with unit_of_work() as work:
        actor, mail = current_actor(), account_mail()
        why_not = provider_people.link(work, signed_in_user().id, who, actor=actor, mail=mail, now=now)
    if why_not is None:
        flash(_("Your account is linked: you can sign in at the provider from now on."), "ok")
    else:
        flash(translate(why_not), "bad")
    return see_other("accounts.profile")


def _confirmed(back: ComingBack, who: Arrival, now: datetime) -> Response:
    """It counts only as the same person, who has just signed in there anew: `auth_time` must say so.

    That the provider was asked to (`prompt=login`) is no proof: whoever sits at the browser can leave it out.
    """
    is_new = who.signed_in_at is not None and who.signed_in_at >= back.created_at - LEEWAY
    if is_new and provider_links.owner_of(db.session(), who) == signed_in_user().id:
        return confirmed(back.next_path, now)
    if is_new:
        flash(_("That is another account at the provider than the one linked with yours."), "bad")
    else:
        flash(
            _(
                "The provider does not say that you have just signed in there, so it does not count here. Use a "
                "passkey or your authenticator app instead. Have you neither? An administrator can send you a link to "
                "choose a password."
            ),
            "bad",
        )
    return see_other("accounts.confirm_password", next=back.next_path)


def _refused(back: ComingBack, refusal: ProviderRefused | MetAnother) -> Response:
    """Back to where it began, with the reason; what exactly was wrong stands in the log."""
    if isinstance(refusal, MetAnother):
        flash(_("Somebody signed in with the same account at the same moment. Try again."), "bad")
    else:
        _log.warning("a sign-in at the provider was refused", code=refusal.code, seen=refusal.seen)
        flash(translate(refusal.reason), "bad")
    places = {Purpose.LINK: "accounts.profile", Purpose.CONFIRM: "accounts.confirm_password"}
    place = places.get(back.purpose, "accounts.sign_in")
    return see_other(place) if place == "accounts.profile" else see_other(place, next=back.next_path)


def _single(name: str) -> str:
    """A parameter that came once; "" otherwise (RFC 6749 3.1)."""
    values = request.args.getlist(name)
    return values[0][:_LONGEST_PARAMETER] if len(values) == 1 else ""
