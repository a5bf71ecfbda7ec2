"""The rooms in the sidebar, by role."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, request

from portal.web.access import EVERYBODY, Role, current_user
from portal.web.local_paths import current_page
from portal.wording import N_, Text

_HELPDESK = frozenset({Role.HELPDESK, Role.ADMIN})
_ADMIN = frozenset({Role.ADMIN})


@dataclass(frozen=True)
class Room:
    label: Text
    path: str
    icon: str
    roles: frozenset[Role]
    room: str = ""  # the path that all pages of the room start with, where it is not `path`

    def holds(self, path: str) -> bool:
        """Whether the page at `path` belongs to this room."""
        root = self.room or self.path
        return path == root or (root != "/" and path.startswith(f"{root}/"))


@dataclass(frozen=True)
class Entry:
    label: Text
    path: str
    icon: str
    is_current: bool


ROOMS = (
    Room(N_("Overview"), "/", "home", EVERYBODY),
    Room(N_("Email settings"), "/email-settings", "settings", _ADMIN),
    Room(N_("Connections"), "/connections", "plug", _ADMIN),
    Room(N_("Servers"), "/servers", "server", _ADMIN),
    Room(N_("Test email"), "/test-messages/new", "send", _HELPDESK, room="/test-messages"),
    Room(N_("Captured mail"), "/captured-mail", "inbox", _ADMIN),
    Room(N_("Sign-in settings"), "/sign-in-settings", "shield-check", _ADMIN),
    Room(N_("Recovery settings"), "/recovery-settings", "lock-open", _ADMIN),
    Room(N_("Users"), "/users", "users", _HELPDESK),
    Room(N_("Audit log"), "/audit-log", "history", _ADMIN),
    Room(N_("Profile"), "/profile", "user-circle", EVERYBODY),
)


def navigation() -> list[Entry]:
    """The entries for the person signed in; none for a stranger."""
    user = current_user()
    if user is None:
        return []
    shown = [room for room in ROOMS if user.role in room.roles]
    return [Entry(room.label, room.path, room.icon, room.holds(request.path)) for room in shown]


def init_app(app: Flask) -> None:
    app.jinja_env.globals["navigation"] = navigation
    app.jinja_env.globals["this_page"] = current_page
