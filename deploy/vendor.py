"""Fetch the files of `static/vendor/` anew: unpack the named npm packages and write down what came from where.

Run by `make vendor`; needs npm and nothing else. The files are checked in and never edited: to change one,
change its version here. `manifest.json` names each file's package, licence, source and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    licence: str
    files: tuple[tuple[str, str], ...]  # path inside the package, path inside the checkout
    licence_files: tuple[str, ...] = ("LICENSE",)


PACKAGES = (
    Package(
        "htmx.org",
        "4.0.1",
        "0BSD",
        (("dist/htmx.min.js", "static/vendor/htmx-4.0.1.min.js"),),
    ),
    Package(
        "@tabler/core",
        "1.6.1",
        "MIT",
        (("dist/css/tabler.min.css", "static/vendor/tabler-1.6.1.min.css"),),
        licence_files=(),
    ),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        "OFL-1.1",
        (
            ("files/inter-latin-wght-normal.woff2", "static/vendor/inter-5.3.0-latin.woff2"),
            ("files/inter-latin-ext-wght-normal.woff2", "static/vendor/inter-5.3.0-latin-ext.woff2"),
        ),
    ),
    Package(
        "@tabler/icons",
        "3.51.0",
        "MIT",
        (("icons/outline/*.svg", "static/vendor/icons-3.51.0.svg"),),
    ),
    Package(
        "axe-core",
        "4.14.1",
        "MPL-2.0",
        (("axe.min.js", "tests/browser/axe-4.14.1.min.js"),),
        licence_files=("LICENSE", "LICENSE-3RD-PARTY.txt"),
    ),
)

ICONS = (
    *("adjustments", "alert-circle", "alert-triangle", "archive", "arrow-back-up", "arrow-left", "bell"),
    *("brand-google", "brand-windows", "certificate", "check", "chevron-down", "chevron-right"),
    *("circle-check", "circle-dashed", "circle-minus", "circle-x", "clock", "cloud", "code", "copy"),
    *("database", "device-desktop", "device-mobile", "dots", "download", "edit", "external-link", "eye"),
    *("eye-off", "file-text", "help", "history", "home", "inbox", "info-circle", "key", "list-check"),
    *("loader-2", "lock", "lock-open", "login", "logout", "mail", "mail-check", "mail-off", "mail-opened"),
    *("menu-2", "moon", "paperclip", "player-pause", "player-play", "player-stop", "plug", "plug-connected"),
    *("plug-x", "plus", "refresh", "search", "send", "server", "settings", "shield-check", "stethoscope"),
    *("sun", "template", "trash", "user", "user-circle", "users", "world", "x"),
)

MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
IN THE SOFTWARE.
"""


def main() -> int:
    """Replace the vendored files. Exit status 1, with one line, when npm cannot give a package."""
    entries: list[dict[str, str]] = []
    licences: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            try:
                unpacked = _unpack(package, Path(folder))
            except (OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
                print(f"npm could not give {package.name} {package.version}: {error}", file=sys.stderr)  # noqa: T201
                return 1
            entries += [_take(package, unpacked, source, target) for source, target in package.files]
            licences.append(_licence(package, unpacked))
    _remove_files_of_other_versions({entry["file"] for entry in entries})
    (VENDOR / "manifest.json").write_text(json.dumps({"files": entries}, indent=2) + "\n", encoding="utf-8")
    (VENDOR / "LICENSES.txt").write_text("\n\n".join(licences), encoding="utf-8")
    return 0


def _unpack(package: Package, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{package.name}@{package.version}"]
    archive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    target = folder / archive.removesuffix(".tgz")
    with tarfile.open(folder / archive) as packed:
        packed.extractall(target, filter="data")
    return target / "package"


def _take(package: Package, unpacked: Path, source: str, target: str) -> dict[str, str]:
    content = _sprite(unpacked / source) if "*" in source else (unpacked / source).read_bytes()
    (ROOT / target).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / target).write_bytes(content)
    return {
        "file": target,
        "name": package.name,
        "version": package.version,
        "licence": package.licence,
        "source": source,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _sprite(pattern: Path) -> bytes:
    """One SVG of symbols, used as `<use href="icons.svg#mail">`; the stroke takes the text's colour."""
    symbols = []
    for name in ICONS:
        drawing = (pattern.parent / f"{name}.svg").read_text(encoding="utf-8")
        shapes = re.sub(r"<svg.*?>|</svg>|<path stroke=\"none\"[^>]*>", "", drawing, flags=re.DOTALL)
        lines = re.sub(r"\s*\n\s*", "", shapes).replace(" />", "/>").strip()
        symbols.append(
            f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" '
            f'stroke-linecap="round" stroke-linejoin="round">{lines}</symbol>'
        )
    return ('<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n").encode()


def _licence(package: Package, unpacked: Path) -> str:
    texts = [(unpacked / name).read_text(encoding="utf-8") for name in package.licence_files]
    if not texts:
        texts = ["Copyright 2018-2026 The Tabler Authors\nCopyright 2018-2026 codecalm.net Paweł Kuna\n\n" + MIT]
    rule = "=" * 100
    return (
        f"{rule}\n{package.name} {package.version}: {package.licence}\n{rule}\n\n" + "\n\n".join(texts).strip() + "\n"
    )


def _remove_files_of_other_versions(kept: set[str]) -> None:
    for path in VENDOR.iterdir():
        if path.suffix != ".json" and path.name != "LICENSES.txt" and f"static/vendor/{path.name}" not in kept:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
