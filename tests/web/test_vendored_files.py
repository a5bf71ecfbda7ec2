from __future__ import annotations

import hashlib
import json
import re

from portal.paths import CHECKOUT, STATIC, TEMPLATES

VENDOR = STATIC / "vendor"
FILES = json.loads((VENDOR / "manifest.json").read_text())["files"]
NOT_VENDORED = {"manifest.json", "LICENSES.txt"}


def test_every_vendored_file_is_the_one_that_the_manifest_names() -> None:
    changed = [
        entry["file"]
        for entry in FILES
        if hashlib.sha256((CHECKOUT / entry["file"]).read_bytes()).hexdigest() != entry["sha256"]
    ]

    assert changed == []


def test_nothing_else_lies_in_the_folder() -> None:
    named = {entry["file"] for entry in FILES}

    unnamed = [path.name for path in VENDOR.iterdir() if f"static/vendor/{path.name}" not in named | NOT_VENDORED]

    assert set(unnamed) <= NOT_VENDORED


def test_every_entry_names_version_licence_and_source() -> None:
    for entry in FILES:
        assert entry["version"] in entry["file"]
        assert entry["licence"] in {"0BSD", "MIT", "OFL-1.1", "MPL-2.0"}
        assert entry["source"]


def test_the_licence_of_every_package_is_kept() -> None:
    kept = (VENDOR / "LICENSES.txt").read_text()

    for entry in FILES:
        assert f"{entry['name']} {entry['version']}: {entry['licence']}" in kept


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (VENDOR / "icons-3.51.0.svg").read_text()))
    sources = [path.read_text() for path in TEMPLATES.rglob("*.html")]

    named = {
        name
        for source in sources
        for name in re.findall(r'(?:\bui\.icon\(|\bicon\(|\bicon=|\bempty_state\()"([a-z0-9-]+)"', source)
    }

    assert named - sprite == set()
    assert "mail" in named
