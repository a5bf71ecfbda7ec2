"""What a test tells the stand-in for Microsoft to do, and how a request is handed to what answers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.outside.microsoft_errors import GraphRefused, SignInRefused
from tests.outside.stand_in_http import Answer, Request
from tests.outside.stand_in_scripts import Script

GRAPH_STEPS = ("me", "users", "applications", "sendMail", "draft", "drafts", "upload", "send")
# Those that act in a mailbox.
MAILBOX_STEPS = ("sendMail", "draft", "drafts", "upload", "send")
PAGE_STEPS = ("authorize", "account", "consent", "adminconsent", "device", "other")
STEPS = ("discovery", "keys", "devicecode", "token", *PAGE_STEPS, *GRAPH_STEPS)


@dataclass(frozen=True, kw_only=True)
class MicrosoftScript(Script):
    """Besides what every stand-in's script can: refusals by number or by Graph's code, and claims of the ID token."""

    aadsts: int | None = None
    suberror: str | None = None
    code: str = ""
    id_token: Mapping[str, object] = field(default_factory=dict)

    def refusal(self, values: Mapping[str, str]) -> SignInRefused | GraphRefused | None:
        """What is raised instead of the usual answer; None where the script says what to answer, or nothing."""
        if self.body is not None or (self.status or 400) < 400:
            return None
        if self.step in GRAPH_STEPS:
            return self._graph_refusal()
        if self.aadsts is None and self.status is None:
            return None
        refused = SignInRefused(self.aadsts or 90033, suberror=self.suberror, **values)
        refused.status = self.status or refused.status
        return refused

    def _graph_refusal(self) -> GraphRefused | None:
        if self.status is None and not self.code:
            return None
        return GraphRefused(self.status or 403, self.code, headers=self.headers)


@dataclass(frozen=True)
class Call:
    """A request on its way to what answers it."""

    request: Request
    parts: Mapping[str, str]  # what the braces of the route's path stand for
    script: MicrosoftScript

    @property
    def tenant(self) -> str:
        return self.parts.get("tenant", "")


@dataclass(frozen=True)
class Route:
    method: str
    path: re.Pattern[str]
    step: str
    handle: Callable[[Call], Answer]


def route(method: str, path: str, step: str, handle: Callable[[Call], Answer]) -> Route:
    """`path` with names in braces, each for one part between slashes; letters may be of either case."""
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
    return Route(method, re.compile(pattern, re.IGNORECASE), step, handle)
