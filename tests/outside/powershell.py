"""What a PowerShell script of the documentation does, where there is no PowerShell: read by its grammar, done by hand.

The grammar is of others (tree-sitter-powershell). Of the language stands here what such an example may need: texts with
variables, lists and tables, `ConvertTo-Json`, UTF-8 bytes, and one `Invoke-RestMethod`. Everything else is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_powershell.language()))
_VARIABLE = re.compile(r"\$(env:)?(\w+)")
_BYTES = re.compile(r"\[System\.Text\.Encoding\]::UTF8\.GetBytes\(\$(\w+)\)")
_PARAMETERS = {"method", "uri", "headers", "contenttype", "body"}


class NotUnderstood(Exception):
    """The script does not parse, or says what no example says."""


@dataclass
class Script:
    """One run. `environment` is what `$env:` reads; an unset variable is empty, as in PowerShell."""

    environment: Mapping[str, str]
    variables: dict[str, Any] = field(default_factory=dict)

    def run(self, text: str) -> Any:
        """What the last command says. Raises NotUnderstood, and requests.HTTPError for a refusal."""
        root = _PARSER.parse(text.encode()).root_node
        if root.has_error:
            raise NotUnderstood(f"the grammar finds an error in {text!r}")
        said = None
        for statement in _named(_only(root, "statement_list")):
            said = self._statement(_only(statement))
        return said

    def _statement(self, node: Node) -> Any:
        if node.type == "assignment_expression":
            left, _, right = _named(node)
            name = _said(left).removeprefix("$").lower()
            self.variables[name] = self._chain(_only(right))
            return None
        return self._chain(node)

    def _chain(self, node: Node) -> Any:
        first, *others = _named(node)
        value = self._command(first) if first.type == "command" else self._value(first)
        for command in others:
            if _said(command) != "ConvertTo-Json":
                raise NotUnderstood(_said(command))
            value = json.dumps(value)
        return value

    def _command(self, node: Node) -> Any:
        if _said(_named(node)[0]) != "Invoke-RestMethod":
            raise NotUnderstood(_said(node))
        given: dict[str, Any] = {}
        name = ""
        for part in _named(_named(node)[1]):
            if part.type == "command_parameter":
                name = _said(part).removeprefix("-").lower()
            elif part.type != "command_argument_sep":
                given[name] = _said(part) if part.type == "generic_token" else self._value(part)
        if not given.keys() <= _PARAMETERS:
            raise NotUnderstood(f"Invoke-RestMethod with {sorted(given)}")
        headers = given["headers"] | {"Content-Type": given["contenttype"]}
        answer = requests.request(given["method"], given["uri"], headers=headers, data=given["body"], timeout=30)
        answer.raise_for_status()
        return answer.json()

    def _value(self, node: Node) -> Any:
        if node.type == "expandable_string_literal":
            return _VARIABLE.sub(self._variable, _said(node)[1:-1])
        if node.type == "variable":
            return self.variables[_said(node).removeprefix("$").lower()]
        if node.type == "array_expression":
            return [self._chain(_only(statement)) for statement in _named(_only(node, "statement_list"))]
        if node.type == "hash_literal_expression":
            return dict(map(self._entry, _named(_only(node, "hash_literal_body"))))
        if node.type == "invokation_expression" and (encoded := _BYTES.fullmatch(_said(node))):
            return self.variables[encoded[1].lower()].encode()
        return self._value(_only(node))  # the grammar has a level for each kind of operator

    def _entry(self, node: Node) -> tuple[str, Any]:
        key, value = _named(node)
        inner = _only(key)
        return _said(inner) if inner.type == "simple_name" else self._value(inner), self._chain(_only(value))

    def _variable(self, found: re.Match[str]) -> str:
        return self.environment.get(found[2], "") if found[1] else str(self.variables[found[2].lower()])


def _named(node: Node) -> list[Node]:
    return [child for child in node.children if child.is_named]


def _only(node: Node, kind: str = "") -> Node:
    """The one named child. Raises NotUnderstood where there are others, or another kind."""
    children = _named(node)
    if len(children) != 1 or (kind and children[0].type != kind):
        raise NotUnderstood(_said(node))
    return children[0]


def _said(node: Node) -> str:
    return (node.text or b"").decode()
