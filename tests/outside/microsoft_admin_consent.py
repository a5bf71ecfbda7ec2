"""The stand-in's page where an administrator consents for everybody, and lets the app act as itself."""

from __future__ import annotations

from secrets import token_urlsafe

from tests.outside.microsoft_directory import GRAPH, App, Directory, Scope, Tenant
from tests.outside.microsoft_errors import SignInRefused
from tests.outside.microsoft_pages import admin_consent_page, words_for
from tests.outside.microsoft_scripts import Call
from tests.outside.microsoft_sign_in import back, error_values
from tests.outside.microsoft_tokens import Clock
from tests.outside.stand_in_http import Answer

# Without a scope it is all that the registration lists.
_ALL_REGISTERED = [Scope(resource, ".default", "") for resource in (GRAPH, "https://outlook.office.com")]


class AdminConsent:
    """Whoever opens the page is taken for an administrator of the tenant."""

    def __init__(self, directory: Directory, login_url: str, clock: Clock) -> None:
        self._directory = directory
        self._login_url = login_url
        self._clock = clock
        self._asked: dict[str, tuple[App, Tenant, list[Scope], dict[str, str]]] = {}

    def ask(self, call: Call) -> Answer:
        """Raises SignInRefused where no address to return to is the app's, but for none at all: that is seen late."""
        query = dict(call.request.query)
        authority = self._directory.authority(call.tenant)
        app = self._directory.app(query.get("client_id", ""), authority)
        if app.redirect_uris and query.get("redirect_uri", "") not in app.redirect_uris:
            raise SignInRefused(50011, redirect_uri=query.get("redirect_uri", ""), app=app.client_id)
        tenant = authority.tenant or app.tenant
        _, asked = self._directory.scopes(query.get("scope", ""), tenant=tenant.name)
        scopes = self._directory.expand(app, asked or _ALL_REGISTERED)
        key = token_urlsafe(24)
        self._asked[key] = app, tenant, scopes, query
        words = [*words_for(self._directory, (), scopes), *(f"{role} (as the app itself)" for role in app.application)]
        return admin_consent_page(f"/{call.tenant}/adminconsent", key, app, tenant, words)

    def decide(self, call: Call) -> Answer:
        """Raises SignInRefused 500113, after the consent was given, for an app without any redirect URI."""
        form = call.request.form
        if form.get("ctx", "") not in self._asked:
            raise SignInRefused(50089)
        app, tenant, scopes, query = self._asked.pop(form["ctx"])
        state = {"state": query.get("state", "")}
        if form.get("answer") != "accept" and not app.redirect_uris:
            raise SignInRefused(65004)
        if form.get("answer") != "accept":
            refused = error_values(SignInRefused(65004), self._login_url, self._clock, "cancel")
            return back(query["redirect_uri"], refused | state)
        app.has_admin_consent = True
        self._directory.consent(app, tenant.id, scopes)
        if not app.redirect_uris:
            raise SignInRefused(500113)
        granted = {"admin_consent": "True", "tenant": tenant.id, "scope": query.get("scope", "")}
        return back(query["redirect_uri"], granted | state)
