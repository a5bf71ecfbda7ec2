"""Who may see a view. Every view carries exactly one of the marks `public`, `signed_in`, `helpdesk_required`
or `admin_required`; a view without one is refused.

`g.user` is a frozen value that the accounts room fills in before the view runs, or absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

import structlog
from flask import Flask, Response, abort, current_app, flash, g, make_response, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from portal.web.local_paths import current_page, safe_next, view_at
from portal.web.rendering import see_other, wants_fragment

View = TypeVar("View", bound=Callable[..., Any])
CONFIRMATION_LIFETIME = timedelta(minutes=15)
SIGN_IN_PATH = "/sign-in"
CONFIRM_PASSWORD_PATH = "/confirm-password"  # noqa: S105 - a path
_MARK = "portal_access"
_NOTE = "portal_note_of_confirmation"
_log = structlog.get_logger(__name__)


class Role(StrEnum):
    ADMIN = "admin"
    HELPDESK = "helpdesk"
    USER = "user"


EVERYBODY = frozenset(Role)


@dataclass(frozen=True)
class SignedInUser:
    """Who is signed in. `confirmed_at` is when this session's password was last given, aware UTC.

    `language` and `time_zone` are what the person chose; "" where nothing is known.
    """

    id: UUID
    email: str
    name: str
    role: Role
    session_id: UUID
    confirmed_at: datetime
    language: str = ""
    time_zone: str = ""  # of the IANA database

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN


@dataclass(frozen=True)
class Actor:
    """Who did something, as the audit log keeps it: plain values that outlive the account."""

    user_id: UUID | None
    name: str
    address: str  # of the client, "" where there is none (the command line)


def current_user() -> SignedInUser | None:
    """The person signed in, None for a stranger."""
    return cast("SignedInUser | None", g.get("user"))


def signed_in_user() -> SignedInUser:
    """The person signed in, in a view that requires one. Raises Unauthorized for a stranger."""
    user = current_user()
    if user is None:
        abort(401)
    return user


def current_actor() -> Actor:
    """The person signed in and the address that the request came from; a stranger has no name."""
    user = current_user()
    address = request.remote_addr or ""
    return Actor(user.id, user.name or user.email, address) if user else Actor(None, "", address)


def public(view: View) -> View:
    """Everybody, signed in or not."""
    setattr(view, _MARK, "public")
    return view


def signed_in(view: View) -> View:
    """Everybody who has signed in."""
    return _only(EVERYBODY, view)


def helpdesk_required(view: View) -> View:
    """Helpdesk and administrators."""
    return _only(frozenset({Role.HELPDESK, Role.ADMIN}), view)


def admin_required(view: View) -> View:
    """Administrators."""
    return _only(frozenset({Role.ADMIN}), view)


def confirm_password(*, always: bool = False) -> Callable[[View], View]:
    """Ask for the password again before the view runs; stands below the access mark.

    A sign-in or confirmation of this session within 15 minutes counts. With `always` only a confirmation given
    for this very page counts, and it counts once: `app.extensions["take_confirmation"]` takes the path and
    says whether there was one. A POST is not repeated after the confirmation: its page opens again.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def asking(*args: Any, **kwargs: Any) -> ResponseReturnValue:
            if _is_confirmed(always):
                return cast("ResponseReturnValue", view(*args, **kwargs))
            if request.method not in {"GET", "HEAD"}:
                flash(_("Nothing was changed yet: give your password first, then do it again."), "info")
            return _go_to(CONFIRM_PASSWORD_PATH)

        return cast("View", asking)

    return decorate


def note_confirmation(note: Callable[..., bool]) -> Callable[[View], View]:
    """Have `note(session, **arguments of the view)` write down that the password was given for this page.

    It takes part in the unit of work of the POST that confirmed, since the page itself, a GET, must not write. A
    confirmation that it answers with False does not count. For people only who may see the page.
    """

    def decorate(view: View) -> View:
        setattr(view, _NOTE, note)
        return view

    return decorate


def is_confirmation_noted(session: Session, path: str) -> bool:
    """Whether a password given for the page at `path` counts there; its note is written by now, if it has one."""
    found = view_at(path)
    if found is None:
        return True
    view, arguments = found
    note = cast("Callable[..., bool] | None", getattr(view, _NOTE, None))
    if note is None:
        return True
    return signed_in_user().role in (mark_of(view) or "").split(",") and note(session, **arguments)


def go_to_sign_in() -> Response:
    """Away to the sign-in page, which comes back here: for a view open to all that asks for somebody at times."""
    return _go_to(SIGN_IN_PATH)


def init_app(app: Flask) -> None:
    """Refuse views that carry no mark, and give templates `user`."""
    app.before_request(_refuse_unmarked)
    app.context_processor(lambda: {"user": current_user()})
    app.view_functions["static"] = public(app.view_functions["static"])


def mark_of(view: Callable[..., Any]) -> str | None:
    """The access mark of a view function: "public", or the roles that it is open to, sorted, by commas."""
    return cast("str | None", getattr(view, _MARK, None))


def _only(roles: frozenset[Role], view: View) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        user = current_user()
        if user is None:
            return _go_to(SIGN_IN_PATH)
        if user.role not in roles:
            abort(403)
        return cast("ResponseReturnValue", view(*args, **kwargs))

    setattr(guarded, _MARK, ",".join(sorted(roles)))
    return cast("View", guarded)


def _refuse_unmarked() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    if view is not None and mark_of(view) is None:
        _log.error("a view without an access mark was refused", endpoint=request.endpoint)
        abort(403)


def _is_confirmed(always: bool) -> bool:
    user = signed_in_user()
    if always:
        take = cast("Callable[[str], bool]", current_app.extensions["take_confirmation"])
        return take(request.path)
    return datetime.now(UTC) - user.confirmed_at <= CONFIRMATION_LIFETIME


def _go_to(path: str) -> Response:
    """Away to a page that comes back here; htmx would put it into a part of the page, so it gets a 401."""
    target = f"{path}?{urlencode({'next': current_page()})}"
    if not wants_fragment():
        return see_other(target)
    response = make_response("", 401)
    response.headers["HX-Redirect"] = target
    return response


__all__ = [
    "Actor",
    "Role",
    "SignedInUser",
    "admin_required",
    "confirm_password",
    "current_actor",
    "current_user",
    "go_to_sign_in",
    "helpdesk_required",
    "init_app",
    "is_confirmation_noted",
    "mark_of",
    "note_confirmation",
    "public",
    "safe_next",
    "signed_in",
    "signed_in_user",
]
