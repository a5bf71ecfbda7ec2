"""Warns administrators by mail that an application's secret or certificate ends: Microsoft itself tells nobody.

How near the end is worth a mail, and what was told, is the connections'; this is the mail alone.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from flask import Flask
from sqlalchemy.orm import Session

from portal import connections, email_settings
from portal.accounts.models import User
from portal.connection_alerts import administrators, mail_administrator, working_way
from portal.connections import ExpiryWarning
from portal.connections.installation import Installation
from portal.connections.oauth.microsoft_certificates import facts_of
from portal.connections.provider_values import Credential
from portal.connections.secret_expiry import OVER
from portal.connections.stored import StoredConnection
from portal.connections.values import GOOGLE_METHODS, NEXT_CLIENT_SECRET, Role
from portal.message_templates.languages import Value
from portal.transaction import unit_of_work
from portal.web.urls import public_url_in
from portal.wording import N_, Text

KIND = "expiry_warning"
_log = structlog.get_logger(__name__)


def warn_of_expiries(app: Flask, now: datetime) -> None:
    """Queue one message to each active administrator for each warning that is due, in a unit of work of its own.

    What could not be told, since sending is switched off or no connection works, is due again with the next call.
    """
    installation: Installation = app.extensions["installation"]
    with app.app_context(), unit_of_work() as session:
        people = administrators(session)
        if not people or not email_settings.load(session).enabled:
            return
        for warning in connections.due_expiry_warnings(session, today=now.date(), box=installation.box):
            way = working_way(session, but=_but(warning), installation=installation)
            if way is None:
                _log.warning("no connection works to warn by", connection=warning.connection.values.name)
                continue
            for person in people:
                _queue(app, session, person, warning, way=way, now=now)
            connections.note_expiry_warning(session, warning, now=now)


def _but(warning: ExpiryWarning) -> UUID | None:
    """A connection carries the warning of its own secret as long as that is good."""
    return warning.connection.id if warning.stage == OVER else None


def _queue(
    app: Flask, session: Session, person: User, warning: ExpiryWarning, *, way: StoredConnection, now: datetime
) -> None:
    mark = f"{KIND}:{warning.connection.id}:{person.id}"
    mail_administrator(app, session, person, KIND, _values(app, warning), way=way, mark=mark, now=now)
    name, by = warning.connection.values.name, way.values.name
    _log.info("an administrator is warned", connection=name, days=warning.expiry.days, by=by, user=str(person.id))


def _values(app: Flask, warning: ExpiryWarning) -> dict[str, Value]:
    is_certificate = warning.credential is Credential.CERTIFICATE
    is_over = warning.stage == OVER
    return {
        "connection_name": warning.connection.values.name,
        "credential": N_("certificate") if is_certificate else N_("client secret"),
        "secret_name": _name_of(warning),
        "left": N_("has expired") if is_over else warning.expiry.label,
        "expires_on": warning.expiry.on,
        "consequence": _consequence(warning),
        "remedy": _remedy(warning),
        "link": public_url_in(app, "connections.show", connection_id=warning.connection.id),
        "portal_url": app.config["PORTAL"].public_url,
    }


def _name_of(warning: ExpiryWarning) -> Text | str:
    """The Secret ID or the thumbprint, as the Entra admin center shows it; "" where nobody entered it."""
    own = warning.connection.values.provider
    if own is None:
        return ""
    if warning.credential is Credential.CERTIFICATE:
        return N_("Thumbprint %(thumbprint)s", thumbprint=facts_of(own.client_certificate).thumbprint)
    return N_("Secret ID %(secret_id)s", secret_id=own.secret_id) if own.secret_id else ""


def _consequence(warning: ExpiryWarning) -> Text:
    if warning.credential is Credential.SECRET and NEXT_CLIENT_SECRET in warning.connection.secrets:
        return N_("Nothing stops as long as the next client secret, which is stored here already, is good.")
    if warning.stage == OVER:
        return N_(
            "The portal can get no new access to the provider. Mail by this connection waits here, and leaves once a "
            "new one is entered. Only what waits past its own deadline expires."
        )
    if warning.connection.values.role is Role.DEFAULT:
        return N_(
            "From then on the portal gets no new access to the provider. This is the default connection: all mail "
            "that names no other waits here, or takes the fallback, until a new one is entered."
        )
    return N_(
        "From then on the portal gets no new access to the provider, and mail by this connection waits here until a "
        "new one is entered."
    )


def _remedy(warning: ExpiryWarning) -> Text:
    values = warning.connection.values
    client_id = values.provider.client_id if values.provider else ""
    if warning.credential is Credential.CERTIFICATE:
        return N_(
            "Open the connection and press “Make a key pair”. Upload the new certificate in the Entra admin center, "
            "App registrations, the application %(client_id)s, Certificates & secrets, and then save the connection.",
            client_id=client_id,
        )
    if values.method in GOOGLE_METHODS:
        return N_(
            "Make a new client secret for %(client_id)s in the Google Cloud console, Google Auth Platform, Clients, "
            "and enter it in the connection with the day on which it ends.",
            client_id=client_id,
        )
    if NEXT_CLIENT_SECRET in warning.connection.secrets:
        return N_(
            "Open the connection and press “Make the next one the client secret”. Then enter its Secret ID and the day "
            "on which it ends."
        )
    return N_(
        "Make a new one in the Entra admin center, App registrations, the application %(client_id)s, Certificates & "
        "secrets. Enter its Value in the connection as the next client secret: nothing is interrupted then.",
        client_id=client_id,
    )
