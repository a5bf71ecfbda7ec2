"""A stand-in for Microsoft on loopback: sign-in and consent pages, tokens and Graph, and it keeps what it was told.

    with MicrosoftServer(certificate=authority.issue("127.0.0.1", "localhost")) as microsoft:
        microsoft.add_tenant("11111111-1111-4111-8111-111111111111", domains=["contoso.test"])
        microsoft.add_app("contoso.test", "client-id", secrets={"value": date(2030, 1, 1)}, redirect_uris=[callback],
                          application=["Mail.Send"])
        microsoft.add_mailbox("contoso.test", "portal@contoso.test")
        ...                                      # at microsoft.login_url (tenants below) and graph_url (/v1.0 below)
        answer = microsoft.person().accept(authorization_url, account="portal@contoso.test")
        [message] = microsoft.wait_for_messages(1)
        message.content, message.mailbox, message.how, message.recipients, message.from_address, message.signed_in_as

By itself it is as strict as Microsoft. An app is known in its own tenant alone, unless `is_multitenant`. The redirect
URI must be equal to a registered one; PKCE is S256 or absent; a code is good once, for ten minutes, at its own tenant.
A refresh token is replaced at each use and the old one stays good (with `strict_rotation` its return kills the family);
one token request is for one resource. Consent is by person: `Mail.Send`, `User.Read` and `SMTP.Send` they may give,
`Mail.ReadWrite` and what reads others' things an administrator only (an `is_admin` account, or the admin consent page).
A client proves itself by secret, by a certificate's assertion (PS256 with `x5t#S256`, RS256 with `x5t`), or by one of
its `federated_tokens`. `platform` is where the redirect URI is registered: "web", "spa" (its codes are not for servers:
AADSTS9002327) or "native" (no secret is taken). The device flow without a secret needs `allows_public_flows`.

`application` permissions stand as `roles` in the app's own tokens once an administrator consented, which is so unless
`has_admin_consent=False`. With `scoped_mailboxes` the app sends as those alone: by Exchange's role where the token has
no `Mail.Send` role, by the older access policy where it has. A mailbox is found by object id or user principal name. A
From other than the mailbox must be one of its `send_as`, and a person needs `Mail.Send.Shared` for it; other people's
mailboxes are open to their `delegates`. Of one app's requests for one mailbox a fifth at the same time is answered 429.

The pages are HTML that a person can click: account chooser, consent with Accept and Cancel, "Need admin approval"
(AADSTS90094), `/<tenant>/v2.0/adminconsent`, `/devicelogin`, and error pages from which nobody comes back, such as that
of a wrong redirect URI (AADSTS50011). `person()` clicks them without a browser. What changes later:

    app = microsoft.add_app(...); app.secrets.clear(); app.is_disabled = True    # likewise a mailbox's settings
    app.secret_id("value")                                                       # the GUID that people paste instead
    microsoft.revoke_grants("portal@contoso.test", aadsts=700082)                # 50173, 65001, ...: the next refresh
    microsoft.pass_time(timedelta(days=90))                                      # `now` is the `clock` and what passed
    granted = microsoft.grant("client-id", "portal@contoso.test", "Mail.Send")   # as if consent had been given
    microsoft.app_token("client-id")                                             # as if it had been asked for
    microsoft.consent_for_everybody("client-id", "Mail.ReadWrite")
    microsoft.approve_device(user_code, "portal@contoso.test"), microsoft.decline_device(user_code)

What it should do otherwise is scripted, before or while it runs, by the step: discovery, keys, authorize, account,
consent, adminconsent, device, devicecode, token, me, users, applications, sendMail, draft (and small attachments),
drafts, upload, send (of a draft). The last script that fits is obeyed:

    microsoft.on("token", aadsts=53003)                                  # the status, JSON and suberror of that number
    microsoft.on("authorize", aadsts=50105)                              # a page
    microsoft.on("token", about="refresh_token", status=503)             # only requests that hold this text
    microsoft.on("token", changes={"expires_in": "3600", "refresh_token": MISSING})    # the usual JSON, but for these
    microsoft.on("token", id_token={"tid": "elsewhere", "nonce": "x"})   # the usual ID token, but for these claims
    microsoft.on("sendMail", status=429, headers={"Retry-After": "30"})  # Graph's own JSON for the status
    microsoft.on("sendMail", code="ErrorExceededMessageLimit")           # with another code
    microsoft.on("sendMail", status=401, headers=microsoft.claims_challenge, times=1)
    microsoft.on("me", status=502, body="<h1>Bad gateway</h1>")          # str is HTML, bytes are raw, all else JSON
    microsoft.on("sendMail", times=3)                                    # the usual for three requests, then as above
    microsoft.on("sendMail", drop="before")                              # nothing is done, no answer
    microsoft.on("sendMail", drop="after")                               # done as usual (the message is kept), none too
    microsoft.on("discovery", delay=0.2)

`requests` holds every request with its `form`, `query`, `headers` and `content`, secrets included; `token_requests` the
grant types that were asked for. A mistake of the stand-in itself fails the test at the end of the `with`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from tests.outside.certificates import ServerCertificate
from tests.outside.microsoft_administration import Administration, Granted
from tests.outside.microsoft_answering import Answering
from tests.outside.microsoft_directory import GRAPH, App, Mailbox, Tenant
from tests.outside.microsoft_graph import Doorkeeper, claims_challenge
from tests.outside.microsoft_mail import ReceivedMessage
from tests.outside.microsoft_person import MicrosoftPerson
from tests.outside.microsoft_routes import graph_routes, sign_in_routes
from tests.outside.microsoft_scripts import STEPS, MicrosoftScript
from tests.outside.stand_in_http import Answer, HTTPListener, Request
from tests.outside.stand_in_scripts import MISSING, Scripts

__all__ = ["GRAPH", "MISSING", "App", "Granted", "Mailbox", "MicrosoftServer", "ReceivedMessage", "Request", "Tenant"]


class MicrosoftServer(Administration):
    """Listens from `with` to its end, each connection in a thread; see the module for what it can do."""

    def __init__(
        self,
        *,
        certificate: ServerCertificate | None,  # None: plain HTTP, as an operator may run a stand-in of their own
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        host: str = "127.0.0.1",
        port: int = 0,
        access_token_life: timedelta = timedelta(seconds=3599),
        strict_rotation: bool = False,
        device_interval: timedelta = timedelta(seconds=5),
        requests_at_once: int | None = 4,
        sends_issuer: bool = False,
        cuts_opener: bool = True,
    ) -> None:
        super().__init__(clock, strict_rotation=strict_rotation, device_interval=device_interval)
        self._mint.lifetime = access_token_life
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self.messages: list[ReceivedMessage] = []
        self._certificate = certificate
        self._requests_at_once = requests_at_once
        self._sends_issuer = sends_issuer
        self._cuts_opener = cuts_opener
        self._scripts = Scripts()
        self._stopped = threading.Event()
        self._listener: HTTPListener | None = None
        self._answering: Answering | None = None

    @property
    def login_url(self) -> str:
        """Without a tenant."""
        return f"{'https' if self._certificate else 'http'}://{self.host}:{self.port}"

    @property
    def graph_url(self) -> str:
        """Without `/v1.0`."""
        return f"{self.login_url}/graph"

    @property
    def claims_challenge(self) -> dict[str, str]:
        """Headers of a 401 by which continuous access evaluation asks for another token."""
        return claims_challenge(self.login_url)

    @property
    def token_requests(self) -> list[str]:
        """The grant type of every token request, in their order."""
        asked = [one for one in list(self.requests) if one.path.lower().endswith("/oauth2/v2.0/token")]
        return [one.form.get("grant_type", "") for one in asked]

    def on(
        self,
        step: str,
        *,
        status: int | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        changes: Mapping[str, object] | None = None,
        id_token: Mapping[str, object] | None = None,
        aadsts: int | None = None,
        suberror: str | None = None,
        code: str = "",
        about: str = "",
        delay: float = 0.0,
        drop: str = "",
        times: int | None = None,
    ) -> None:
        """Script one step; `times` None is for ever. See the module."""
        if step not in STEPS or drop not in {"", "before", "after"}:
            raise ValueError(f"{step!r} is none of {', '.join(STEPS)}, or {drop!r} neither before nor after")
        script = MicrosoftScript(
            step=step,
            status=status,
            body=body,
            headers=headers or {},
            changes=changes or {},
            id_token=id_token or {},
            aadsts=aadsts,
            suberror=suberror,
            code=code,
            about=about,
            delay=delay,
            drop=drop,
            times=times,
        )
        with self._changed:
            self._scripts.add(script)

    def forget_scripts(self) -> None:
        """As Microsoft is by itself again."""
        with self._changed:
            self._scripts.clear()

    def person(self, user_agent: str = "Mozilla/5.0") -> MicrosoftPerson:
        """Somebody who clicks through the pages; see microsoft_person and stand_in_person."""
        return MicrosoftPerson(
            self.login_url, trusted_pem=self._certificate.pem if self._certificate else "", user_agent=user_agent
        )

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
        self._mint.login_url, self._directory.own_graph = self.login_url, self.graph_url
        self._answering = self._made_answering()
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._listener is not None:
            self._listener.stop()
            if error is None:
                self._listener.raise_mistakes("the stand-in for Microsoft")

    def _made_answering(self) -> Answering:
        directory, clock = self._directory, self._now
        doorkeeper = Doorkeeper(directory, self._mint, self.login_url, clock, most_at_once=self._requests_at_once)
        urls = self.login_url, self.graph_url
        return Answering(
            routes=[
                *sign_in_routes(directory, self._grants, self._mint, urls, clock, sends_issuer=self._sends_issuer),
                *graph_routes(directory, doorkeeper, self.graph_url, clock, self._keep),
            ],
            scripts=self._scripts,
            doorkeeper=doorkeeper,
            changed=self._changed,
            stopped=self._stopped,
            login_url=self.login_url,
            clock=clock,
            cuts_opener=self._cuts_opener,
        )

    def _respond(self, request: Request) -> Answer | None:
        with self._changed:
            self.requests.append(request)
        assert self._answering is not None
        return self._answering.respond(request)

    def _keep(self, message: ReceivedMessage) -> None:
        self.messages.append(message)
        self._changed.notify_all()

    def _now(self) -> datetime:
        return self.now
