"""The page `/sign-in-settings`: what signing in asks for, and the organisation's own provider."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, flash, request
from flask_babel import gettext as _

from portal.accounts import provider_settings, second_factor, sign_in_settings
from portal.accounts.oidc import SCOPES
from portal.accounts.provider_callback_views import openid, redirect_uri
from portal.accounts.provider_refusals import ProviderRefused
from portal.accounts.provider_settings import ChangedMeanwhile, NobodyLeft, SecretNeeded
from portal.accounts.provider_settings_forms import PRESETS, ProviderSettingsForm
from portal.accounts.second_factor_forms import SignInSettingsForm
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor, signed_in_user
from portal.web.translation import translate


@admin_required
@confirm_password()
def show() -> Response:
    return _page(_rules())


@admin_required
@confirm_password()
def change() -> Response:
    """Either card of the page: the one about the provider has an issuer, if only an empty one."""
    return _change_provider() if "issuer" in request.form else _change_rules()


def _change_rules() -> Response:
    form = SignInSettingsForm()
    if not form.validate_on_submit():
        return _page(form, status=422)
    wanted = form.to_settings()
    if wanted.requires_second_factor and not second_factor.has_any(db.session(), signed_in_user().id):
        form.requires_second_factor.errors = [_("Set up your own second factor first, or you would be locked out.")]
        return _page(form, status=422)
    with unit_of_work() as work:
        sign_in_settings.save(work, wanted, actor=current_actor(), now=datetime.now(UTC))
    flash(_("Sign-in settings saved."), "ok")
    return see_other("accounts.sign_in_settings")


def _change_provider() -> Response:
    """Ask the provider what it is, and whether it knows the portal, before it is saved."""
    form, now = ProviderSettingsForm(), datetime.now(UTC)
    if not form.validate_on_submit():
        return _page(_rules(), form, status=422)
    try:
        if form.issuer.data:
            openid().discover(form.issuer.data, now=now, anew=True)
    except ProviderRefused as refusal:
        form.issuer.errors = [translate(refusal.reason)]
        return _page(_rules(), form, status=422)
    return _save_provider(form, _is_accepted(form, now), now)


def _is_accepted(form: ProviderSettingsForm, now: datetime) -> bool | None:
    """Whether the provider takes the client ID and the secret; None where nothing of them changes, or it is silent."""
    client = provider_settings.client_to_be(db.session(), form.to_settings(), form.secret_change(), box=secret_box)
    return openid().accepts(client, redirect_uri=redirect_uri(), now=now) if client else None


def _save_provider(form: ProviderSettingsForm, is_accepted: bool | None, now: datetime) -> Response:
    try:
        with unit_of_work() as work:
            provider_settings.save(
                work,
                form.to_settings(),
                secret=form.secret_change(),
                box=secret_box,
                actor=current_actor(),
                expected_version=form.version.data or 0,
                is_accepted=is_accepted is True,
                now=now,
            )
    except ChangedMeanwhile as conflict:
        return _conflict(form, conflict)
    except SecretNeeded:
        form.client_secret.errors = [_("The stored secret is another issuer's. Type the one of this issuer.")]
        return _page(_rules(), form, status=422)
    except NobodyLeft:
        return _nobody_left(form, is_accepted)
    flash(_("Sign-in settings saved."), "ok")
    if is_accepted is False:
        flash(_("The provider does not accept this client ID or client secret: nobody can sign in there yet."), "warn")
    return see_other("accounts.sign_in_settings")


def _nobody_left(form: ProviderSettingsForm, is_accepted: bool | None) -> Response:
    """No administrator has another way in, and this one might end."""
    if is_accepted is False:
        form.client_id.errors = [
            _(
                "The provider does not accept this client ID or client secret, and no administrator could sign in "
                "without it. Copy both once more."
            )
        ]
    else:
        form.issuer.errors = [
            _(
                "No administrator could sign in without this provider as it is set up now. Give one a password or a "
                "passkey first."
            )
        ]
    return _page(_rules(), form, status=422)


def _conflict(form: ProviderSettingsForm, conflict: ChangedMeanwhile) -> Response:
    """What was typed stays in the form, beside what somebody else saved meanwhile."""
    differing = provider_settings.differences(conflict.present.settings, form.to_settings())
    form.version.raw_data, form.version.data = None, conflict.present.version
    theirs = [(form[name].label.text, _in_words(was)) for name, (was, _wanted) in differing.items()]
    return _page(_rules(), form, status=409, theirs=theirs)


def _rules() -> SignInSettingsForm:
    form: SignInSettingsForm = SignInSettingsForm(formdata=None, obj=sign_in_settings.load(db.session()))
    return form


def _page(rules: SignInSettingsForm, provider: ProviderSettingsForm | None = None, **options: Any) -> Response:
    """The whole page, whichever of its cards was sent."""
    saved, preset = provider_settings.load_saved(db.session()), request.args.get("preset", "")
    return render(
        "accounts/sign_in_settings.html",
        form=rules,
        has_own=second_factor.has_any(db.session(), signed_in_user().id),
        provider_form=provider or ProviderSettingsForm.showing(saved, preset=preset),
        saved=saved,
        preset=preset if preset in PRESETS else "",
        redirect_url=redirect_uri(),
        always_asked=" ".join(SCOPES),
        **options,
    )


def _in_words(value: str | bool) -> str:
    return (_("on") if value else _("off")) if isinstance(value, bool) else value
