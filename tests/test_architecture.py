"""The house's rules, read from the code: who may import whom, where transactions begin, what no module is called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PORTAL = Path(__file__).parent.parent / "portal"

# What each room may import besides the foundation below; the order is from the ground up.
_FLOOR_3 = {"mail", "transports", "outbox", "message_templates", "web", "audit", "settings_file"}
MAY_IMPORT: dict[str, set[str]] = {
    "mail": set(),
    "web": set(),
    "network": set(),
    "transports": {"mail"},
    "audit": {"web"},
    "settings_file": {"web", "audit"},
    "outbox": {"mail", "transports"},
    "message_templates": {"mail", "web", "audit"},
    "email_settings": {"mail", "web", "audit", "settings_file"},
    "connections": {"email_settings", "mail", "transports", "outbox", "web", "audit", "settings_file"},
    "servers": {"connections", "email_settings", "outbox", "mail", "web", "audit", "settings_file"},
    "settings_imports": {"servers", "connections", "email_settings", "mail", "web", "audit", "settings_file"},
    "mail_service": {"mail", "message_templates", "outbox", "email_settings", "connections", "servers"},
    "api": _FLOOR_3 | {"mail_service", "servers", "connections", "email_settings"},
    "relay": _FLOOR_3 | {"mail_service", "servers", "connections", "email_settings"},
    "test_messages": _FLOOR_3 | {"mail_service", "connections", "email_settings"},
    "accounts": _FLOOR_3 | {"mail_service", "connections", "email_settings"},
    "installation": _FLOOR_3 | {"email_settings"},
    "overview": _FLOOR_3 | {"connections", "email_settings"},
}
# What puts the rooms together and runs them may import everything.
OUTERMOST = {
    "__init__",
    "backups",
    "cli",
    "commands",
    "connection_alerts",
    "doctor",
    "expiry_warnings",
    "lifeline",
    "readiness",
    "relay_process",
    "rekeying",
    "schema",
    "settings_sections",
    "supervisor",
    "web_process",
    "worker_process",
}
FOUNDATION = {
    *(
        "clock",
        "config",
        "extensions",
        "database",
        "paths",
        "sealed_columns",
        "secret_box",
        "wording",
        "network",
        "write_turns",
    ),
    *("guessing", "placeholders"),
}
TRANSACTION = "transaction"
WITHOUT_FLASK_AND_DATABASE = ("mail", "transports", "network")
MAY_BEGIN_AND_COMMIT = {
    "transaction.py",
    "web/limits.py",
    "accounts/sessions.py",
    "connections/check_steps.py",
    "connections/consent_flows.py",  # the claim of a flow, once for each state
    "connections/grant_leases.py",  # the token lease, renewed
    "connections/grants.py",  # the token lease, taken and given back
    "servers/callers.py",  # when a server was last seen
    "servers/quotas.py",
    "schema.py",
    "database.py",
    "write_turns.py",
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "core", "manager", "service", "services"}


def modules() -> list[Path]:
    return sorted(path for path in PORTAL.rglob("*.py") if "migrations" not in path.parts)


def room_of(path: Path) -> str:
    return path.relative_to(PORTAL).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("portal.")}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_lies_below_them(room: str) -> None:
    allowed = MAY_IMPORT[room] | FOUNDATION | {room, TRANSACTION}

    wrong = {
        str(path.relative_to(PORTAL)): rooms_imported(path) - allowed
        for path in modules()
        if room_of(path) == room and rooms_imported(path) - allowed
    }

    assert wrong == {}


def test_every_room_has_a_row_in_the_table() -> None:
    rooms = {room_of(path) for path in modules()} - FOUNDATION - {TRANSACTION}

    assert rooms - set(MAY_IMPORT) - OUTERMOST == set()


def test_only_views_forms_and_web_import_flask() -> None:
    wrong = [
        str(path.relative_to(PORTAL))
        for path in modules()
        if any(name.split(".")[0].startswith("flask") for name in imports(path))
        and path.stem not in {"views", "forms"}
        and not path.stem.endswith(("_views", "_forms"))
        and room_of(path) not in OUTERMOST | {"extensions", "web"}
    ]

    assert wrong == []


@pytest.mark.parametrize("room", WITHOUT_FLASK_AND_DATABASE)
def test_rooms_of_the_ground_know_neither_flask_nor_the_database(room: str) -> None:
    forbidden = ("flask", "sqlalchemy", "portal.extensions", "portal.database", "portal.transaction")

    wrong = [
        (str(path.relative_to(PORTAL)), name)
        for path in modules()
        if room_of(path) == room
        for name in imports(path)
        if name.startswith(forbidden)
    ]

    assert wrong == []


def test_transactions_begin_and_end_only_where_they_may() -> None:
    wrong = [
        f"{path.relative_to(PORTAL)}:{node.lineno} .{node.func.attr}()"
        for path in modules()
        # What has no database begins no transaction: `begin` is an HTTP answer's there.
        if room_of(path) not in {"outbox", *WITHOUT_FLASK_AND_DATABASE}
        if str(path.relative_to(PORTAL)) not in MAY_BEGIN_AND_COMMIT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"commit", "begin", "begin_nested", "rollback"}
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id == "check_steps")
    ]

    assert wrong == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    wrong = [str(path) for path in modules() if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES]

    assert wrong == []
