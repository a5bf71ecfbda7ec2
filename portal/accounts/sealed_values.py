"""The sealed values of this room, for whoever seals them anew with another key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from portal.accounts import provider_settings, provider_sign_ins, totp
from portal.accounts.factor_models import AuthenticatorApp
from portal.accounts.provider_models import ProviderSignIn, SignInSettingsRow
from portal.sealed_columns import Reseal, sealed_texts


def _app(_session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    return {"sealed": reseal(row.sealed, totp.context_of(row.id))}


def _sign_in(_session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    return {"sealed": reseal(row.sealed, provider_sign_ins.context_of(row.id))}


def _client(_session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    if row.sealed_client_secret is None:
        return {}
    context = provider_settings.context_of(row.uuid, row.issuer)
    return {"sealed_client_secret": reseal(row.sealed_client_secret, context)}


SEALED = (
    sealed_texts(AuthenticatorApp, "sealed", sealed_anew=_app),
    sealed_texts(ProviderSignIn, "sealed", sealed_anew=_sign_in),
    sealed_texts(SignInSettingsRow, "sealed_client_secret", sealed_anew=_client),
)
