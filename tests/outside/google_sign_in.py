"""The stand-in's authorization endpoint: from the request through the pages to the redirect with a code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from secrets import token_urlsafe
from urllib.parse import urlencode, urlsplit

from tests.outside.google_pages import chooser_page, consent_page, error_page, warning_page
from tests.outside.google_registry import CODE_LIFE, Account, Client, Code, Registry
from tests.outside.google_scopes import IDENTITY, SCOPES, scopes_in
from tests.outside.stand_in_http import Answer, Request

ISSUER = "https://accounts.google.com"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_PROMPTS = {"none", "consent", "select_account"}
_IN_APP_BROWSER = re.compile(r"; wv\)")


class NoReturn(Exception):
    """The person gets an error page and stays there."""

    def __init__(self, status: int, error: str, text: str, details: str = "", title: str = "") -> None:
        super().__init__(error)
        self.page = error_page(status, error, title or "Access blocked: Authorization Error", text, details)


@dataclass(kw_only=True)
class Asked:
    """An authorization request on its way through the pages."""

    client: Client
    redirect_uri: str
    state: str | None
    scopes: frozenset[str]
    is_offline: bool
    includes_granted: bool
    prompts: frozenset[str]
    challenge: str
    nonce: str
    account: Account | None = None
    is_warned: bool = False


class SignIn:
    def __init__(self, registry: Registry, *, sends_issuer: bool) -> None:
        self._registry = registry
        self._sends_issuer = sends_issuer
        self._asked: dict[str, Asked] = {}

    def authorize(self, request: Request) -> Answer:
        """What the application sends the person to."""
        try:
            if _IN_APP_BROWSER.search(request.headers["User-Agent"] or ""):
                raise NoReturn(
                    403, "disallowed_useragent", "The request does not comply with Google’s Use secure browsers policy."
                )
            asked = self._read(request.query)
        except NoReturn as stopped:
            return stopped.page
        key = token_urlsafe(16)
        self._asked[key] = asked
        if "select_account" not in asked.prompts:
            asked.account = self._registry.account(request.query.get("login_hint", ""))
        return self._next(key, asked)

    def choose(self, request: Request) -> Answer:
        asked = self._asked.get(request.form.get("request", ""))
        account = self._registry.account(request.form.get("account", ""))
        if asked is None or account is None:
            return _lost()
        asked.account = account
        return self._next(request.form["request"], asked)

    def warn(self, request: Request) -> Answer:
        asked = self._asked.get(request.form.get("request", ""))
        if asked is None:
            return _lost()
        if request.form.get("answer") != "go":
            return self._back(asked, error="access_denied")
        asked.is_warned = True
        return self._next(request.form["request"], asked)

    def consent(self, request: Request) -> Answer:
        asked = self._asked.get(request.form.get("request", ""))
        if asked is None or asked.account is None:
            return _lost()
        del self._asked[request.form["request"]]
        boxes = frozenset() if self._is_all_or_nothing(asked, asked.account) else asked.scopes - IDENTITY
        granted = (asked.scopes - boxes) | (boxes & frozenset(request.values("scope")))
        if request.form.get("answer") != "allow" or not granted:
            return self._back(asked, error="access_denied")
        return self._finish(asked, asked.account, granted, has_seen_consent=True)

    def _read(self, query: dict[str, str]) -> Asked:
        client = self._client(query)
        redirect_uri = query.get("redirect_uri", "")
        if redirect_uri not in client.redirect_uris:
            raise NoReturn(
                400,
                "redirect_uri_mismatch",
                "You can’t sign in because this app sent an invalid request. You can try again later, or contact the"
                " developer about this issue.",
                f"redirect_uri={redirect_uri}",
                "Access blocked: This app’s request is invalid",
            )
        for name in ("response_type", "scope"):
            if not query.get(name):
                raise _invalid(f"Required parameter is missing: {name}")
        if query["response_type"] != "code":
            raise NoReturn(400, "unsupported_response_type", f"Invalid response_type: {query['response_type']}")
        scopes = scopes_in(query["scope"])
        if unknown := sorted(scopes - SCOPES.keys()):
            raise NoReturn(400, "invalid_scope", "Some requested scopes were invalid.", f"invalid={unknown}")
        return Asked(
            client=client,
            redirect_uri=redirect_uri,
            state=query.get("state"),
            scopes=scopes,
            is_offline=_one_of(query, "access_type", "online", {"online", "offline"}) == "offline",
            includes_granted=query.get("include_granted_scopes") == "true",
            prompts=_prompts(query.get("prompt", "")),
            challenge=_challenge(query),
            nonce=query.get("nonce", ""),
        )

    def _client(self, query: dict[str, str]) -> Client:
        if not query.get("client_id"):
            raise _invalid("Missing required parameter: client_id")
        client = self._registry.clients.get(query["client_id"])
        if client is None:
            raise NoReturn(401, "invalid_client", "The OAuth client was not found.")
        if client.is_deleted:
            raise NoReturn(401, "deleted_client", "The OAuth client was deleted.")
        return client

    def _next(self, key: str, asked: Asked) -> Answer:
        """The next page of the way, or its end."""
        account = asked.account
        if account is None:
            if "none" in asked.prompts:
                return self._back(asked, error="interaction_required")
            return chooser_page(key, asked.client, self._registry.accounts.values())
        try:
            self._check_account(asked.client, account)
        except NoReturn as stopped:
            return stopped.page
        needs_consent = not asked.scopes <= self._registry.consented(asked.client.client_id, account)
        if needs_consent and "none" in asked.prompts:
            return self._back(asked, error="interaction_required")
        if not needs_consent and "consent" not in asked.prompts:
            return self._finish(asked, account, asked.scopes, has_seen_consent=False)
        is_unverified = asked.client.status == "production" and not asked.client.is_verified
        if is_unverified and not asked.is_warned and not asked.scopes <= IDENTITY:
            return warning_page(key, asked.client)
        has_boxes = not self._is_all_or_nothing(asked, account)
        return consent_page(key, asked.client, account, asked.scopes, has_boxes=has_boxes)

    def _check_account(self, client: Client, account: Account) -> None:
        if client.status == "internal" and account.organisation != client.organisation:
            raise NoReturn(
                403,
                "org_internal",
                "This client is restricted to users within its organization.",
                title=f"Access blocked: {client.name} can only be used within its organization",
            )
        if client.status == "testing" and account.address not in client.test_users:
            raise NoReturn(
                403,
                "access_denied",
                f"{client.name} has not completed the Google verification process. The app is currently being tested,"
                " and can only be accessed by developer-approved testers.",
                title=f"Access blocked: {client.name} has not completed the Google verification process",
            )
        if not self._registry.is_let_in(client.client_id, account):
            raise NoReturn(
                400,
                "admin_policy_enforced",
                "Access to your account data is restricted by policies within your organization. Please contact the"
                " administrator of your organization for more information.",
            )

    def _is_all_or_nothing(self, asked: Asked, account: Account) -> bool:
        return self._registry.is_trusted(asked.client.client_id, account)

    def _finish(self, asked: Asked, account: Account, granted: frozenset[str], *, has_seen_consent: bool) -> Answer:
        client_id = asked.client.client_id
        self._registry.consent(client_id, account, granted)
        if asked.includes_granted:
            granted = self._registry.consented(client_id, account)
        code = self._registry.issue_code(
            Code(
                client_id=client_id,
                redirect_uri=asked.redirect_uri,
                account=account.address,
                scopes=granted,
                gives_refresh_token=asked.is_offline and has_seen_consent,
                challenge=asked.challenge,
                nonce=asked.nonce,
                expires_at=self._registry.now() + CODE_LIFE,
            )
        )
        domain = {"hd": account.organisation} if account.organisation else {}
        prompt = "consent" if has_seen_consent else "none"
        return self._back(asked, code=code, scope=" ".join(sorted(granted)), authuser="0", **domain, prompt=prompt)

    def _back(self, asked: Asked, **parameters: str) -> Answer:
        if self._sends_issuer:
            parameters = {"iss": ISSUER, **parameters}
        if asked.state is not None:
            parameters = {"state": asked.state, **parameters}
        joint = "&" if urlsplit(asked.redirect_uri).query else "?"
        return Answer(status=302, headers={"Location": f"{asked.redirect_uri}{joint}{urlencode(parameters)}"})


def _invalid(details: str) -> NoReturn:
    return NoReturn(400, "invalid_request", "The request is not valid.", details)


def _lost() -> Answer:
    return error_page(400, "invalid_request", "Something went wrong", "Go back to the app and start again.")


def _one_of(query: dict[str, str], name: str, usual: str, known: set[str]) -> str:
    value = query.get(name, usual)
    if value not in known:
        raise _invalid(f"Invalid parameter value for {name}: '{value}' is not a valid {name}")
    return value


def _prompts(text: str) -> frozenset[str]:
    prompts = frozenset(text.split())
    if not prompts <= _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise _invalid(f"Invalid parameter value for prompt: Invalid prompt: {text}")
    return prompts


def _challenge(query: dict[str, str]) -> str:
    """The S256 challenge, "" where none is sent; the `plain` method is refused."""
    challenge, method = query.get("code_challenge", ""), query.get("code_challenge_method", "")
    if not challenge and not method:
        return ""
    if method != "S256" or not _CHALLENGE.fullmatch(challenge):
        raise _invalid("code_challenge_method must be S256, with a challenge of 43 characters")
    return challenge
