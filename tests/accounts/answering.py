"""The worker's part of a forgotten password, run by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask import Flask

from portal.accounts.account_mail import AccountMail
from portal.accounts.password_reset import answer_reset_requests
from portal.outbox.prepared import PreparedMessage
from tests.accounts.browsing import NOW


@dataclass
class Answering:
    """Runs the job that answers reset requests, and keeps what it mailed beside what it stored."""

    app: Flask
    mailed: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)  # address, values of the wording
    before_preparing: Callable[[], None] = lambda: None

    def run(self, now: datetime = NOW) -> int:
        wired: AccountMail = self.app.extensions["account_mail"]

        def prepare(kind: str, **asked: Any) -> PreparedMessage:
            self.before_preparing()
            prepared = wired.prepare(kind, **asked)
            self.mailed.append((asked["to"].address, asked["values"]))
            return prepared

        with self.app.app_context():
            return answer_reset_requests(
                now,
                mail=replace(wired, prepare=prepare),
                reset_url_for=lambda token: f"http://localhost/reset-password/{token}",
            )

    @property
    def links(self) -> list[str]:
        """The paths of the links that were mailed, oldest first."""
        return [values["link"].removeprefix("http://localhost") for _, values in self.mailed]
