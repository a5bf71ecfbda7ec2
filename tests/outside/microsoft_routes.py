"""Which address of the stand-in for Microsoft is answered by what."""

from __future__ import annotations

from collections.abc import Callable

from tests.outside.microsoft_aadsts import KINDS
from tests.outside.microsoft_admin_consent import AdminConsent
from tests.outside.microsoft_devices import Devices
from tests.outside.microsoft_directory import Directory
from tests.outside.microsoft_discovery import Discovery
from tests.outside.microsoft_grants import Grants
from tests.outside.microsoft_graph import Doorkeeper, Lookups
from tests.outside.microsoft_mail import ReceivedMessage
from tests.outside.microsoft_mailboxes import Mailboxes
from tests.outside.microsoft_pages import page
from tests.outside.microsoft_scripts import Call, Route, route
from tests.outside.microsoft_sign_in import SignIn
from tests.outside.microsoft_token_endpoint import TokenEndpoint
from tests.outside.microsoft_tokens import Clock, Mint
from tests.outside.stand_in_http import Answer


def sign_in_routes(
    directory: Directory, grants: Grants, mint: Mint, urls: tuple[str, str], clock: Clock, *, sends_issuer: bool
) -> list[Route]:
    """`urls` are those of sign-in and of Graph."""
    login_url, graph_url = urls
    discovery = Discovery(directory, login_url, graph_url)
    sign_in = SignIn(directory, grants, login_url, clock, sends_issuer=sends_issuer)
    tokens = TokenEndpoint(directory, grants, mint, login_url, clock)
    admin_consent = AdminConsent(directory, login_url, clock)
    devices = Devices(directory, grants)
    return [
        route("GET", "/{tenant}/v2.0/.well-known/openid-configuration", "discovery", discovery.document),
        route("GET", "/{tenant}/discovery/v2.0/keys", "keys", discovery.keys),
        route("GET", "/{tenant}/oauth2/v2.0/logout", "other", discovery.signed_out),
        route("GET", "/{tenant}/oauth2/v2.0/authorize", "authorize", sign_in.authorize),
        route("POST", "/{tenant}/login", "account", sign_in.choose),
        route("POST", "/{tenant}/consent", "consent", sign_in.decide),
        route("POST", "/{tenant}/oauth2/v2.0/token", "token", tokens.tokens),
        route("POST", "/{tenant}/oauth2/v2.0/devicecode", "devicecode", tokens.device_codes),
        route("GET", "/{tenant}/v2.0/adminconsent", "adminconsent", admin_consent.ask),
        route("GET", "/{tenant}/adminconsent", "adminconsent", admin_consent.ask),
        route("POST", "/{tenant}/adminconsent", "adminconsent", admin_consent.decide),
        route("GET", "/devicelogin", "device", devices.ask),
        route("POST", "/devicelogin", "device", devices.decide),
        route("GET", "/error", "other", _error),
    ]


def graph_routes(
    directory: Directory,
    doorkeeper: Doorkeeper,
    graph_url: str,
    clock: Clock,
    keep: Callable[[ReceivedMessage], None],
) -> list[Route]:
    lookups = Lookups(directory, doorkeeper)
    mailboxes = Mailboxes(directory, doorkeeper, graph_url, clock, keep)
    routes = [
        route("GET", "/graph/v1.0/me", "me", lookups.me),
        route("GET", "/graph/v1.0/users/{user}", "users", lookups.user),
        route("GET", "/graph/v1.0/applications(appId='{app}')", "applications", lookups.application),
        route("PUT", "/graph/upload/{key}", "upload", mailboxes.upload),
    ]
    for owner in ("/graph/v1.0/me", "/graph/v1.0/users/{user}"):
        message = f"{owner}/messages/{{message}}"
        routes += [
            route("POST", f"{owner}/sendMail", "sendMail", mailboxes.send_mail),
            route("POST", f"{owner}/messages", "draft", mailboxes.create_draft),
            route("GET", f"{owner}/messages", "drafts", mailboxes.list_drafts),
            route("DELETE", message, "draft", mailboxes.delete_draft),
            route("POST", f"{message}/attachments", "draft", mailboxes.attach),
            route("POST", f"{message}/attachments/createUploadSession", "upload", mailboxes.create_upload),
            route("POST", f"{message}/send", "send", mailboxes.send_draft),
        ]
    return routes


def _error(call: Call) -> Answer:
    """What `error_uri` leads to."""
    number = call.request.query.get("code", "")
    kind = KINDS.get(int(number)) if number.isdigit() else None
    return page("Error lookup", "Error code lookup", f"<p>{kind.text if kind else 'There is no such error.'}</p>")
