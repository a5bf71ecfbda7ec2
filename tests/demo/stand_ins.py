"""The world outside of the demonstration: Google, Microsoft and a mail server, all on this machine.

    with StandIns(ports, callback_base="http://127.0.0.1:8000", folder=folder) as stand_ins:
        stand_ins.environ                        # the portal's variables that lead there
        stand_ins.received                       # by the name of who took it: every message

They forget what they were told when they end; what is registered with them is always the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from portal.config import DEFAULT_MAIL_PORTS
from tests.outside.certificates import Authority
from tests.outside.google import GoogleServer
from tests.outside.microsoft import MicrosoftServer
from tests.outside.smtp_server import SMTPServer

DOMAIN = "contoso.test"
PORTAL = f"portal@{DOMAIN}"
SMTP_ACCOUNT = ("relay", "smtp-demo-password")
GOOGLE_CLIENT = ("demo.apps.googleusercontent.com", "GOCSPX-demo-client-secret")
TENANT = "11111111-1111-4111-8111-111111111111"
# One asks people for consent, the other acts for itself.
MICROSOFT_CLIENT = ("22222222-2222-4222-8222-222222222222", "demo~client~secret")
MICROSOFT_APPLICATION = ("33333333-3333-4333-8333-333333333333", "demo~application~secret")


class Received(Protocol):
    """A message as any of them keeps it."""

    @property
    def content(self) -> bytes: ...


@dataclass(frozen=True)
class Ports:
    google: int
    microsoft: int
    smtp: int

    @classmethod
    def above(cls, port: int) -> Self:
        """The three above the portal's, so that they stay the same from one start to the next."""
        return cls(port + 1, port + 2, port + 3)


class StandIns:
    """Listen from `with` to its end. Raises OSError where a port is taken."""

    def __init__(self, ports: Ports, *, callback_base: str, folder: Path) -> None:
        self._authority = Authority()
        self._callback_base = callback_base
        self._bundle = folder / "authority.pem"
        certificate = self._authority.issue("127.0.0.1", "localhost")
        # Browsers warn of certificates of our own making, so what people see goes without.
        self.google = GoogleServer(certificate=None, port=ports.google)
        self.microsoft = MicrosoftServer(certificate=None, port=ports.microsoft)
        self.smtp = SMTPServer(accounts=dict([SMTP_ACCOUNT]), tls="starttls", certificate=certificate, port=ports.smtp)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._register_with_google()
        self._register_with_microsoft()
        self._bundle.write_text(self._authority.pem)
        with ExitStack() as stack:
            for server in (self.google, self.microsoft, self.smtp):
                stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def received(self) -> Mapping[str, Sequence[Received]]:
        return {
            "The mail server": self.smtp.messages,
            "Google": self.google.messages,
            "Microsoft": self.microsoft.messages,
        }

    @property
    def environ(self) -> dict[str, str]:
        google = self.google.endpoints
        return {
            "PORTAL_CA_BUNDLE": str(self._bundle),
            "PORTAL_MAIL_ALLOW": "127.0.0.0/8",
            "PORTAL_MAIL_PORTS": f"{DEFAULT_MAIL_PORTS},{self.smtp.port}",
            "PORTAL_GOOGLE_AUTHORIZATION_URL": google["authorization_url"],
            "PORTAL_GOOGLE_TOKEN_URL": google["token_url"],
            "PORTAL_GOOGLE_REVOCATION_URL": google["revocation_url"],
            "PORTAL_GOOGLE_USERINFO_URL": google["userinfo_url"],
            "PORTAL_GOOGLE_API_URL": google["api_url"],
            "PORTAL_MICROSOFT_LOGIN_URL": self.microsoft.login_url,
            "PORTAL_MICROSOFT_GRAPH_URL": self.microsoft.graph_url,
        }

    def _register_with_google(self) -> None:
        callback = f"{self._callback_base}/oauth/google/callback"
        self.google.add_client(*GOOGLE_CLIENT, redirect_uris=[callback])
        for name in ("portal", "ada"):
            self.google.add_account(f"{name}@{DOMAIN}")

    def _register_with_microsoft(self) -> None:
        callback = f"{self._callback_base}/oauth/microsoft/callback"
        client_id, secret = MICROSOFT_CLIENT
        app_id, app_secret = MICROSOFT_APPLICATION
        self.microsoft.add_tenant(TENANT, domains=[DOMAIN])
        self.microsoft.add_app(TENANT, client_id, secrets={secret: None}, redirect_uris=[callback])
        self.microsoft.add_app(
            TENANT,
            app_id,
            secrets={app_secret: None},
            redirect_uris=[callback],
            application=["Mail.Send", "Mail.ReadWrite", "User.ReadBasic.All"],
        )
        self.microsoft.add_mailbox(TENANT, PORTAL)
        self.microsoft.add_mailbox(TENANT, f"admin@{DOMAIN}", is_admin=True)
