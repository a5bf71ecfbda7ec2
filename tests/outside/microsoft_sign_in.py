"""The stand-in's authorization endpoint: who is it, may the app do this, and back to the app with a code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from urllib.parse import urlencode
from uuid import uuid4

from tests.outside.microsoft_directory import App, Authority, Directory, Mailbox, Scope
from tests.outside.microsoft_errors import SignInRefused
from tests.outside.microsoft_grants import Grant, Grants
from tests.outside.microsoft_pages import approval_page, chooser_page, consent_page, words_for
from tests.outside.microsoft_scripts import Call
from tests.outside.microsoft_token_endpoint import client_info
from tests.outside.microsoft_tokens import Clock
from tests.outside.stand_in_http import Answer


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """An authorization request, between its pages."""

    authority: Authority
    app: App
    redirect_uri: str
    state: str
    openid: frozenset[str]
    scopes: tuple[Scope, ...]
    challenge: str
    nonce: str
    prompt: str
    wants_client_info: bool


class SignIn:
    def __init__(
        self, directory: Directory, grants: Grants, login_url: str, clock: Clock, *, sends_issuer: bool
    ) -> None:
        self._directory = directory
        self._grants = grants
        self._login_url = login_url
        self._clock = clock
        self._sends_issuer = sends_issuer
        # By the key that the pages carry; with the account once it was chosen.
        self._asked: dict[str, tuple[_Asked, Mailbox | None]] = {}

    def authorize(self, call: Call) -> Answer:
        """Raises SignInRefused for what is told to the person alone: the redirect URI is not to be trusted yet."""
        query = call.request.query
        authority = self._directory.authority(call.tenant)
        app = self._directory.app(_required(query, "client_id"), authority)
        redirect_uri = self._registered(app, query)
        try:
            asked = self._read(authority, app, redirect_uri, query)
        except SignInRefused as refused:
            return self._back_with_error(redirect_uri, query.get("state", ""), refused)
        if asked.prompt == "none":
            return self._back_with_error(redirect_uri, asked.state, SignInRefused(50058))
        hinted = self._directory.account(query.get("login_hint", ""))
        if hinted is not None and asked.prompt != "select_account":
            return self._go_on(asked, hinted)
        accounts = sorted(self._directory.mailboxes, key=lambda one: one is not hinted)
        return chooser_page(f"/{call.tenant}/login", self._keep(asked, None), app, accounts)

    def choose(self, call: Call) -> Answer:
        """The account was picked. Raises SignInRefused for one that cannot sign in here."""
        asked, _ = self._found(call)
        mailbox = self._directory.account(call.request.form.get("account", ""))
        if mailbox is None:
            raise SignInRefused(50034, account=call.request.form.get("account", ""), tenant=call.tenant)
        return self._go_on(asked, mailbox)

    def decide(self, call: Call) -> Answer:
        """Accept, Cancel, or back from the page that asks for an administrator."""
        asked, mailbox = self._found(call)
        assert mailbox is not None
        answer = call.request.form.get("answer", "")
        if answer == "return":
            return self._back_with_error(asked.redirect_uri, asked.state, _approval(asked.app))
        if answer != "accept":
            return self._back_with_error(asked.redirect_uri, asked.state, SignInRefused(65004), subcode="cancel")
        if self._needs_admin(asked, mailbox):
            raise _approval(asked.app)
        everybody = mailbox.is_admin and call.request.form.get("everybody") == "1"
        self._directory.consent(asked.app, mailbox.tenant.id if everybody else mailbox.object_id, asked.scopes)
        return self._back_with_code(asked, mailbox)

    def _registered(self, app: App, query: Mapping[str, str]) -> str:
        redirect_uri = query.get("redirect_uri", "")
        if not app.redirect_uris:
            raise SignInRefused(500113)
        if redirect_uri not in app.redirect_uris:
            raise SignInRefused(50011, redirect_uri=redirect_uri, app=app.client_id)
        return redirect_uri

    def _read(self, authority: Authority, app: App, redirect_uri: str, query: Mapping[str, str]) -> _Asked:
        if query.get("response_type") != "code":
            raise SignInRefused(70003, error="unsupported_response_type", grant_type=query.get("response_type", ""))
        if query.get("response_mode", "query") != "query":
            raise SignInRefused(90014, field="response_mode=query, the only one of this stand-in")
        if "code_challenge" in query and query.get("code_challenge_method") != "S256":
            raise SignInRefused(9002313, error="invalid_request")
        tenant = authority.tenant.name if authority.tenant else authority.name
        openid, scopes = self._directory.scopes(_required(query, "scope"), tenant=tenant)
        return _Asked(
            authority=authority,
            app=app,
            redirect_uri=redirect_uri,
            state=query.get("state", ""),
            openid=openid,
            scopes=tuple(self._directory.expand(app, scopes)),
            challenge=query.get("code_challenge", ""),
            nonce=query.get("nonce", ""),
            prompt=query.get("prompt", ""),
            wants_client_info=query.get("client_info") == "1",
        )

    def _go_on(self, asked: _Asked, mailbox: Mailbox) -> Answer:
        if mailbox.is_disabled:
            raise SignInRefused(50057)
        if asked.authority.tenant not in {None, mailbox.tenant}:
            raise SignInRefused(
                50020,
                account=mailbox.user_principal_name,
                login=f"{self._login_url}/{mailbox.tenant.id}/",
                tenant=asked.authority.name,
                app=asked.app.client_id,
            )
        missing = self._directory.without_consent(asked.app, mailbox, asked.scopes)
        if not missing and asked.prompt != "consent":
            return self._back_with_code(asked, mailbox)
        key, action = self._keep(asked, mailbox), f"/{asked.authority.name}/consent"
        if self._needs_admin(asked, mailbox):
            return approval_page(action, key, asked.app, _approval(asked.app))
        words = words_for(self._directory, asked.openid, asked.scopes)
        return consent_page(action, key, asked.app, mailbox, words, for_everybody=mailbox.is_admin)

    def _needs_admin(self, asked: _Asked, mailbox: Mailbox) -> bool:
        missing = self._directory.without_consent(asked.app, mailbox, asked.scopes)
        needs = asked.app.needs_admin_consent or any(self._directory.permission(one).needs_admin for one in missing)
        return bool(missing) and needs and not mailbox.is_admin

    def _back_with_code(self, asked: _Asked, mailbox: Mailbox) -> Answer:
        grant = Grant(asked.app, mailbox, asked.scopes, asked.openid)
        code = self._grants.issue_code(
            grant, redirect_uri=asked.redirect_uri, challenge=asked.challenge, nonce=asked.nonce
        )
        values = {"code": code}
        if asked.wants_client_info:
            values["client_info"] = client_info(mailbox.object_id, mailbox.tenant.id)
        if self._sends_issuer:
            values["iss"] = f"{self._login_url}/{mailbox.tenant.id}/v2.0"
        return back(asked.redirect_uri, values | {"state": asked.state, "session_state": str(uuid4())})

    def _back_with_error(self, redirect_uri: str, state: str, refused: SignInRefused, subcode: str = "") -> Answer:
        return back(redirect_uri, error_values(refused, self._login_url, self._clock, subcode) | {"state": state})

    def _keep(self, asked: _Asked, mailbox: Mailbox | None) -> str:
        key = token_urlsafe(24)
        self._asked[key] = asked, mailbox
        return key

    def _found(self, call: Call) -> tuple[_Asked, Mailbox | None]:
        found = self._asked.get(call.request.form.get("ctx", ""))
        if found is None:
            raise SignInRefused(50089)
        return found


def back(redirect_uri: str, values: Mapping[str, str]) -> Answer:
    """To the app, with what it is told in the query."""
    present = {name: value for name, value in values.items() if value}
    joint = "&" if "?" in redirect_uri else "?"
    return Answer(status=302, headers={"Location": f"{redirect_uri}{joint}{urlencode(present)}"})


def error_values(refused: SignInRefused, login_url: str, clock: Clock, subcode: str = "") -> dict[str, str]:
    """An authorization error response (RFC 6749 4.1.2.1), with Microsoft's own `error_subcode`."""
    body = refused.body(login_url=login_url, now=clock())
    return {name: str(body[name]) for name in ("error", "error_description", "error_uri")} | {"error_subcode": subcode}


def _approval(app: App) -> SignInRefused:
    return SignInRefused(90094, name=app.display_name)


def _required(query: Mapping[str, str], field: str) -> str:
    if not query.get(field):
        raise SignInRefused(900144, field=field)
    return query[field]
