"""`make translations`: finds every marked text, carries the catalogues over to them and compiles these.

A new language: make the folder portal/translations/<code>/LC_MESSAGES, run this, translate messages.po, run it again.
The compiled messages.mo is checked in, so that a checkout speaks its languages without a build.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "portal" / "translations"
SOURCES = {"portal": [("**.py", "python")], "templates": [("**.html", "jinja2"), ("**.txt", "jinja2")]}
_PASSING_HEADERS = re.compile(
    rb'^"(?:Project-Id-Version|Report-Msgid|POT-Creation|PO-Revision|Last-Trans|Language-Team|Generated).*\n', re.M
)
KEYWORDS = {"_": None, "_l": None, "N_": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2)}


def marked() -> Catalog:
    """Every marked text with the files that it stands in."""
    catalog = Catalog(project="Mail Portal", fuzzy=False)
    for folder, methods in SOURCES.items():
        options = {pattern: {"encoding": "utf-8"} for pattern, _ in methods}
        found = extract_from_dir(ROOT / folder, methods, options, KEYWORDS)
        for name, _, text, comments, context in sorted(found, key=lambda one: (one[0], one[1])):
            catalog.add(text, None, [(f"{folder}/{name}", 0)], auto_comments=comments, context=context)
    return catalog


def catalogues() -> list[Path]:
    """The messages.po of each language, whether it is written yet or not."""
    return sorted(folder / "messages.po" for folder in FOLDER.glob("*/LC_MESSAGES"))


def read(path: Path) -> Catalog:
    language = path.parts[-3]
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def carried_over(path: Path, template: Catalog) -> Catalog:
    """The translations of a language for the texts of today: none is guessed, and none is kept for a former text."""
    former, catalog = read(path), Catalog(locale=path.parts[-3], header_comment="", fuzzy=False)
    for message in _texts(template):
        known = former.get(message.id)
        places = sorted({(name, 0) for name, _ in message.locations})
        catalog.add(message.id, known.string if known else None, places, auto_comments=message.auto_comments)
    return catalog


def untranslated(catalog: Catalog) -> list[str]:
    """The English texts that have no translation, or only half of one."""
    return [str(message.id) for message in _texts(catalog) if not all(_forms(message))]


def _texts(catalog: Catalog) -> Iterable[Message]:
    return (message for message in catalog if message.id)


def _forms(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (message.string,)


def written(catalog: Catalog) -> bytes:
    file = io.BytesIO()
    write_po(file, catalog, width=0, include_lineno=False, sort_by_file=False, ignore_obsolete=True)
    return _PASSING_HEADERS.sub(b"", file.getvalue()).lstrip()


def compiled(catalog: Catalog) -> bytes:
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def main() -> int:
    template, missing = marked(), 0
    for path in catalogues():
        catalog = carried_over(path, template)
        path.write_bytes(written(catalog))
        path.with_suffix(".mo").write_bytes(compiled(catalog))
        texts = untranslated(catalog)
        sys.stdout.write(f"{path.parts[-3]}: {len(list(_texts(catalog)))} texts, {len(texts)} not translated\n")
        missing += len(texts)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
