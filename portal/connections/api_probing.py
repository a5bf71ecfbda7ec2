"""The check of a connection by Gmail API or Microsoft Graph: which look fits which method."""

from __future__ import annotations

from collections.abc import Callable

from portal.connections.installation import Installation
from portal.connections.registrations import google_endpoints, microsoft_endpoints, what_registration_lacks
from portal.connections.senders import Sender
from portal.connections.tokens import ProviderToken
from portal.connections.values import GOOGLE_METHODS, ConnectionValues, Method
from portal.transports import StepResult, gmail_check, graph_check
from portal.transports.api_check import check_api
from portal.transports.diagnosis import api_target
from portal.transports.smtp_findings import Finding


def check_by_api(
    values: ConnectionValues,
    token: ProviderToken,
    *,
    sender: Sender,
    installation: Installation,
    on_step: Callable[[StepResult], None],
    cancelled: Callable[[], bool],
) -> tuple[StepResult, ...]:
    """The steps of an API's check: settings, token, permissions, mailbox."""
    own = values.provider
    if own is None:
        raise ValueError(f"{values.method} is handed mail by no API")
    is_google = values.method in GOOGLE_METHODS
    google, graph_url = google_endpoints(installation), microsoft_endpoints(own, installation).graph_url
    target = api_target(
        google.api_url if is_google else graph_url,
        mailbox=own.mailbox or token.account,
        client_id=own.client_id,
        tenant=own.tenant_id,
        sender=sender.from_address,
    )

    def permissions(access_token: str) -> Finding:
        if is_google:
            granted = token.grant.scopes if token.grant else frozenset()
            return gmail_check.look_at_permissions(granted=granted, target=target)(access_token)
        is_app_only = values.method is Method.MICROSOFT_APP
        look = graph_check.look_at_permissions(graph_url=graph_url, is_app_only=is_app_only, target=target)
        return look(access_token)

    def mailbox(access_token: str) -> Finding:
        if is_google:
            granted = token.grant.scopes if token.grant else frozenset()
            look = gmail_check.look_at_mailbox(
                installation.https,
                userinfo_url=google.userinfo_url,
                api_url=google.api_url,
                granted=granted,
                target=target,
            )
        else:
            whose = own.mailbox if values.method is Method.MICROSOFT_APP else ""
            look = graph_check.look_at_mailbox(installation.https, graph_url=graph_url, mailbox=whose, target=target)
        return look(access_token)

    return check_api(
        missing=tuple(what_registration_lacks(values).values()),
        access_token=token,
        permissions=permissions,
        mailbox=mailbox,
        target=target,
        on_step=on_step,
        cancelled=cancelled,
    )
