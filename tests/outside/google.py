"""A stand-in for Google on loopback: consent pages, tokens and the Gmail API, and it keeps what it was told.

    with GoogleServer(certificate=authority.issue("127.0.0.1", "localhost")) as google:
        google.add_client("client-id", "client-secret", redirect_uris=["https://portal.contoso.test/callback"])
        google.add_account("portal@contoso.test")
        ...                                      # google.endpoints has the addresses
        callback = google.person().allow(authorization_url, account="portal@contoso.test")
        [message] = google.wait_for_messages(1)
        message.account, message.content, message.rcpt_to, message.from_address, message.id, message.thread_id

By itself it is as strict as Google. The redirect URI must be equal to a registered one; PKCE is S256 or absent; a code
is good once and for ten minutes; a refresh token comes only with `access_type=offline` after a consent page was really
shown (the first time, or `prompt=consent`), is not replaced when used, and is one of at most a hundred for its account
and client. Short scope names come back as long ones. The pages are HTML that a person can click: account chooser,
warning for an unverified app, consent with a box for each scope, and error pages from which nobody comes back
(`redirect_uri_mismatch`, `invalid_client`, `deleted_client`, `org_internal`, `admin_policy_enforced`, no test user).
`person()` clicks them without a browser.

A client's `status` is that of its project: "production", "testing" (its `test_users` only, and grants end after seven
days) or "internal" (accounts of its `organisation` only). `is_verified=False` puts the warning before the consent. An
account belongs to the organisation of its domain unless that is gmail.com. What changes later:

    google.add_client("client-id", "old", "new", redirect_uris=[...])    # again: other secrets, addresses, status
    google.delete_client("client-id")
    google.restrict_apps("contoso.test", trusted=["client-id"])          # the Workspace administrators' list
    google.revoke_grants("portal@contoso.test", why="password_changed")  # revoked, seven_days, rapt, deleted
    google.pass_time(timedelta(days=7))                                  # `now` is the `clock` and what has passed
    granted = google.grant("client-id", "portal@contoso.test", SEND)     # as if consent had been given
    key_file = google.make_service_account("x@y.iam.gserviceaccount.com", client_id="12", delegated_scopes=[SEND])
    google.add_account("slow@contoso.test", messages_per_day=2, noticed_late=1)   # 200, 200, a 200 that is lost, 429

What it should do otherwise is scripted, before or while it runs, by the step: authorize, token, revoke, userinfo, send,
send_as, keys, and the pages account, warning and consent. The last script that fits is obeyed:

    google.on("token", status=502, body="<h1>Bad gateway</h1>")      # str is HTML, bytes are raw, all else JSON
    google.on("token", about="refresh_token", status=503)            # only requests that hold this text
    google.on("token", changes={"expires_in": "3600", "scope": MISSING})   # the usual JSON, but for these
    google.on("send", **refused("userRateLimitExceeded"))            # as Gmail words it; see google_refusals
    google.on("send", status=429, headers={"Retry-After": "30"})
    google.on("send", times=3)                                       # the usual for three requests, then as above
    google.on("send", drop="before")                                 # nothing is done, no answer
    google.on("send", drop="after")                                  # done as usual (the message is kept), no answer
    google.on("userinfo", delay=0.2)

`requests` holds every request with its `form`, `query`, `headers` and `content`, secrets included; `token_requests` the
grant types that were asked for; `messages` what was sent, `lost_messages` what was answered with a 200 and was not.
A mistake of the stand-in itself fails the test at the end of the `with`.

Not simulated: uploads in parts (multipart, resumable), quotas by the minute, the hundred recipients of a message, and
smtp.gmail.com.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from tests.outside.certificates import ServerCertificate
from tests.outside.google_administration import Administration, Granted
from tests.outside.google_gmail import Gmail, ReceivedMessage
from tests.outside.google_pages import CHOOSER, CONSENT, WARNING, error_page
from tests.outside.google_person import GooglePerson
from tests.outside.google_refusals import refusal
from tests.outside.google_scopes import EMAIL, FULL_MAIL, PROFILE, SEND
from tests.outside.google_sign_in import ISSUER, SignIn
from tests.outside.google_tokens import Tokens
from tests.outside.stand_in_http import Answer, HTTPListener, Request
from tests.outside.stand_in_scripts import MISSING, Script, Scripts

__all__ = [
    "EMAIL",
    "FULL_MAIL",
    "ISSUER",
    "MISSING",
    "PROFILE",
    "SEND",
    "GoogleServer",
    "Granted",
    "ReceivedMessage",
    "Request",
    "refused",
]

STEPS = ("authorize", "account", "warning", "consent", "token", "revoke", "userinfo", "keys", "send", "send_as")


@dataclass(frozen=True)
class Route:
    """Which requests a step of the scripts is about, and who answers them."""

    step: str
    method: str
    path: str  # a pattern
    answer: Callable[[Request], Answer]

    def fits(self, request: Request) -> bool:
        return self.method == request.method and re.fullmatch(self.path, request.path) is not None


def _not_found(_: Request) -> Answer:
    return error_page(404, "not_found", "That’s an error", "The requested URL was not found on this server.")


NOWHERE = Route("", "", "", _not_found)


def refused(reason: str, message: str = "", *, status: int | None = None) -> dict[str, Any]:
    """The arguments of `GoogleServer.on` that make it answer as Gmail does for this reason."""
    answer = refusal(reason, message, status=status)
    return {"status": answer.status, "body": json.loads(answer.content), "headers": answer.headers}


class GoogleServer(Administration):
    """Listens from `with` to its end, each connection in a thread; see the module for what it can do."""

    def __init__(
        self,
        *,
        certificate: ServerCertificate | None,  # None: plain HTTP, as an operator may run a stand-in of their own
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        host: str = "127.0.0.1",
        port: int = 0,
        access_token_life: timedelta = timedelta(hours=1),
        sends_issuer: bool = False,
        cuts_opener: bool = True,
    ) -> None:
        super().__init__(clock, access_token_life)
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self.messages: list[ReceivedMessage] = []
        self.lost_messages: list[ReceivedMessage] = []
        self._certificate = certificate
        self._sends_issuer = sends_issuer
        self._cuts_opener = cuts_opener
        self._scripts = Scripts()
        self._stopped = threading.Event()
        self._listener: HTTPListener | None = None
        self._routes: list[Route] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://{self.host}:{self.port}"

    @property
    def endpoints(self) -> dict[str, str]:
        return {
            "authorization_url": f"{self.url}/o/oauth2/v2/auth",
            "token_url": f"{self.url}/token",
            "revocation_url": f"{self.url}/revoke",
            "userinfo_url": f"{self.url}/v1/userinfo",
            "keys_url": f"{self.url}/oauth2/v3/certs",
            "api_url": self.url,
        }

    def on(
        self,
        step: str,
        *,
        status: int | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        changes: Mapping[str, object] | None = None,
        about: str = "",
        delay: float = 0.0,
        drop: str = "",
        times: int | None = None,
    ) -> None:
        """Script one step; `times` None is for ever. See the module."""
        if step not in STEPS or drop not in {"", "before", "after"}:
            raise ValueError(f"{step!r} is none of {', '.join(STEPS)}, or {drop!r} neither before nor after")
        script = Script(
            step=step,
            status=status,
            body=body,
            headers=headers or {},
            changes=changes or {},
            about=about,
            delay=delay,
            drop=drop,
            times=times,
        )
        with self._changed:
            self._scripts.add(script)

    def forget_scripts(self) -> None:
        """As Google is by itself again."""
        with self._changed:
            self._scripts.clear()

    def person(self, user_agent: str = "Mozilla/5.0") -> GooglePerson:
        """Somebody who clicks through the pages; see google_person and stand_in_person."""
        return GooglePerson(
            self.url, trusted_pem=self._certificate.pem if self._certificate else "", user_agent=user_agent
        )

    @property
    def token_requests(self) -> list[str]:
        """The grant type of every token request, in their order."""
        return [one.form.get("grant_type", "") for one in list(self.requests) if one.path == "/token"]

    def wait_for_messages(self, count: int, timeout: float = 30.0) -> list[ReceivedMessage]:
        """All messages, as soon as there are so many. Raises AssertionError after the timeout."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise AssertionError(f"{len(self.messages)} of {count} messages came within {timeout} s")
            return list(self.messages)

    def __enter__(self) -> Self:
        self._listener = HTTPListener(
            self._respond,
            host=self.host,
            port=self.port,
            context=self._certificate.context() if self._certificate else None,
        )
        self._listener.bind()
        self.port = self._listener.port
        self._routes = self._made_routes()
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._listener is not None:
            self._listener.stop()
            if error is None:
                self._listener.raise_mistakes("the stand-in for Google")

    def _made_routes(self) -> list[Route]:
        sign_in = SignIn(self._registry, sends_issuer=self._sends_issuer)
        tokens = Tokens(self._registry, self.endpoints["token_url"])
        gmail = Gmail(self._registry, keep=self._keep, lose=self.lost_messages.append)
        return [
            Route("authorize", "GET", "/o/oauth2/v2/auth", sign_in.authorize),
            Route("account", "POST", CHOOSER, sign_in.choose),
            Route("warning", "POST", WARNING, sign_in.warn),
            Route("consent", "POST", CONSENT, sign_in.consent),
            Route("token", "POST", "/token", tokens.token),
            Route("revoke", "POST", "/revoke", tokens.revoke),
            Route("userinfo", "GET", "/v1/userinfo", tokens.userinfo),
            Route("keys", "GET", "/oauth2/v3/certs", tokens.keys),
            Route("send", "POST", "/upload/gmail/v1/users/[^/]+/messages/send", gmail.upload),
            Route("send", "POST", "/gmail/v1/users/[^/]+/messages/send", gmail.send),
            Route("send_as", "GET", "/gmail/v1/users/[^/]+/settings/sendAs", gmail.addresses),
        ]

    def _respond(self, request: Request) -> Answer | None:
        route = next((one for one in self._routes if one.fits(request)), NOWHERE)
        with self._changed:
            self.requests.append(request)
            script = self._scripts.take(route.step, request)
        self._stopped.wait(script.delay)
        if script.drop == "before":
            return None
        answer = script.answer() or self._usual(route, request, script)
        return None if script.drop == "after" else self._dressed(answer)

    def _usual(self, route: Route, request: Request, script: Script) -> Answer:
        with self._changed:
            return script.changed(route.answer(request))

    def _dressed(self, answer: Answer) -> Answer:
        """Pages cut the tie to the window that opened them, as Google's do."""
        is_page = answer.headers.get("Content-Type", "").startswith("text/html")
        if not is_page or not self._cuts_opener:
            return answer
        return replace(answer, headers={**answer.headers, "Cross-Origin-Opener-Policy": "same-origin"})

    def _keep(self, message: ReceivedMessage) -> None:
        self.messages.append(message)
        self._changed.notify_all()
