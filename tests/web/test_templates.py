"""Rules that hold for every template of the product, read from the files."""

from __future__ import annotations

import re

import pytest

from portal.paths import STATIC, TEMPLATES

PAGES = sorted(path for path in TEMPLATES.rglob("*.html") if "mail" not in path.relative_to(TEMPLATES).parts[:1])
FORBIDDEN = {
    "inline style": r"\sstyle\s*=|<style",
    "inline handler": r"\son[a-z]+\s*=",
    "inline script": r"<script(?![^>]*\ssrc=)",
    "hx-on, which needs eval": r"hx-on[:=]",
    "a trigger filter, which needs eval": r'hx-trigger="[^"]*\[',
    "an expression, which needs eval": r"""hx-[a-z]+=["'](?:js|javascript):""",
    "an attribute of htmx 2": r"hx-(?:ext|disabled-elt|vars|params|prompt|request|disinherit)\b",
    "another site": r"""(?:src|href|action)=["'](?:https?:)?//""",
    "an angle bracket in _(), which gives HTML in a template": r'_\("[^"]*<[^"]*"',
    "text taken as HTML": r"\|\s*safe\b|\bMarkup\(|autoescape\s+false",
}


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_no_template_has(rule: str) -> None:
    found = [
        f"{path.relative_to(TEMPLATES)}: {match[0]}"
        for path in PAGES
        for match in re.finditer(FORBIDDEN[rule], re.sub(r"{#.*?#}", "", path.read_text(), flags=re.DOTALL))
    ]

    assert found == []


def test_every_page_extends_a_shell_or_is_a_part() -> None:
    shells = {"base.html", "signed_out.html"}

    wrong = [
        str(path.relative_to(TEMPLATES))
        for path in PAGES
        if not path.name.startswith("_")
        and path.name not in shells
        and not re.search(r'{%-?\s*extends "(?:base|signed_out)\.html"', path.read_text())
    ]

    assert wrong == []


def test_own_scripts_and_styles_name_no_other_site() -> None:
    own = [path for path in STATIC.iterdir() if path.suffix in {".js", ".css"}]

    assert {path.name for path in own} >= {"portal.css", "portal.js", "theme.js"}
    assert [path.name for path in own if re.search(r"https?://", path.read_text())] == []
