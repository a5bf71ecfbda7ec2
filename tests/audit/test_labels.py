"""Every action that the code records has a label, and there is no label for what nobody records."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from portal.audit.labels import ACTIONS, label_of
from portal.paths import PACKAGE

_ACTION = re.compile(r"[a-z_]+\.[a-z_]+")


def recorded() -> dict[str, set[str]]:
    """What is handed to a parameter named `action` by modules that know the audit log, and where."""
    trees = {
        path: ast.parse(path.read_text())
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\baudit\b", path.read_text()) and "migrations" not in path.parts
    }
    places = {name: place for tree in trees.values() for name, place in _takers(tree)}
    found: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for value in _handed_over(tree, places):
            for action in _texts(value, tree):
                found.setdefault(action, set()).add(str(path.relative_to(PACKAGE)))
    return found


def _takers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The functions that take an action, and at which place; -1 where only by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args]
            if "action" in names:
                yield node.name, names.index("action")


def _handed_over(tree: ast.Module, places: dict[str, int]) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "action")
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in places and len(node.args) > places[name]:
                yield node.args[places[name]]


def _texts(value: ast.expr, tree: ast.Module) -> Iterator[str]:
    """The texts that this can be; of a variable those that the module ever gives it."""
    if isinstance(value, ast.IfExp):
        yield from (*_texts(value.body, tree), *_texts(value.orelse, tree))
    elif isinstance(value, ast.Constant) and isinstance(value.value, str) and _ACTION.fullmatch(value.value):
        yield value.value
    elif isinstance(value, ast.Name):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == value.id for target in node.targets):
                yield from _texts(node.value, tree)


def test_every_action_that_is_recorded_has_a_label() -> None:
    found = recorded()
    assert {"user.signed_in", "message.retried", "connection.created", "user.second_factor_added"} <= set(found)

    assert {action: modules for action, modules in found.items() if action not in ACTIONS} == {}


def test_every_label_is_of_an_action_that_is_recorded() -> None:
    assert set(ACTIONS) - set(recorded()) == set()


def test_no_two_actions_have_the_same_label() -> None:
    assert len({str(label) for label in ACTIONS.values()}) == len(ACTIONS)


def test_every_record_is_reached_by_its_action() -> None:
    """Each call of `audit.record` names its action by a text, or by a parameter whose callers do."""
    unclear = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_record(node.func)
        if not any(_is_clear(keyword.value) for keyword in node.keywords if keyword.arg == "action")
    ]

    assert unclear == []


def _is_record(function: ast.Attribute) -> bool:
    return function.attr == "record" and getattr(function.value, "id", "") == "audit"


def _is_clear(value: ast.expr) -> bool:
    if isinstance(value, ast.IfExp):
        return _is_clear(value.body) and _is_clear(value.orelse)
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id == "action")


def test_an_action_of_another_version_is_shown_by_its_own_name() -> None:
    assert label_of("relay.opened") == "relay.opened"
