"""What other rooms show on every page: banners, and the state of outgoing mail in the top bar.

The composition root hands both down: `app.extensions["banners"]` gives a sequence of `Banner` for the person in
`g.user`, `app.extensions["mail_status"]` a `MailStatus` or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app, g

from portal.wording import Text


@dataclass(frozen=True)
class Banner:
    """One sentence above the page. `kind` is info, ok, warn or bad; `path` and `link` lead to where it is mended."""

    kind: str
    text: Text
    path: str = ""
    link: Text | None = None


@dataclass(frozen=True)
class MailStatus:
    """The pill in the top bar. `kind` is ok, warn, bad, off or busy; `path` is "" for those who may not go there."""

    kind: str
    label: Text
    path: str = "/email-settings"


def banners() -> Sequence[Banner]:
    """For the person signed in; none on an error page, whose cause may be the very same database."""
    find = current_app.extensions.get("banners")
    if find is None or g.get("is_error_page"):
        return ()
    return cast("Callable[[], Sequence[Banner]]", find)()


def mail_status() -> MailStatus | None:
    """None where nothing was handed down, and on an error page."""
    find = current_app.extensions.get("mail_status")
    if find is None or g.get("is_error_page"):
        return None
    return cast("Callable[[], MailStatus | None]", find)()


def init_app(app: Flask) -> None:
    app.jinja_env.globals["banners"] = banners
    app.jinja_env.globals["mail_status"] = mail_status
