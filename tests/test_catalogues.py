"""Every language that the portal offers is whole: each marked text is translated, with its placeholders."""

from __future__ import annotations

import re
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from deploy import translations

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w*\}|</?[a-z][^>]*>|&\w+;")
CATALOGUES = translations.catalogues()


@pytest.fixture(scope="module")
def marked() -> Catalog:
    return translations.marked()


def test_german_is_among_them() -> None:
    assert "de" in {path.parts[-3] for path in CATALOGUES}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_holds_the_texts_of_today_and_no_other(path: Path, marked: Catalog) -> None:
    assert translations.written(translations.carried_over(path, marked)) == path.read_bytes(), "run make translations"


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_text_is_translated(path: Path, marked: Catalog) -> None:
    assert translations.untranslated(translations.carried_over(path, marked)) == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_has_the_placeholders_of_its_text(path: Path) -> None:
    amiss = [
        (text, translated)
        for message in translations.read(path)
        if message.id
        for text, translated in zip(_forms(message.id), _forms(message.string), strict=True)
        if sorted(PLACEHOLDER.findall(text)) != sorted(PLACEHOLDER.findall(translated))
    ]

    assert amiss == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_what_is_compiled_is_what_is_written(path: Path) -> None:
    shipped = GNUTranslations(BytesIO(path.with_suffix(".mo").read_bytes()))
    fresh = GNUTranslations(BytesIO(translations.compiled(translations.read(path))))

    differing = [
        message.id
        for message in translations.read(path)
        if message.id
        for number in (1, 2)
        if _said(shipped, message.id, number) != _said(fresh, message.id, number)
    ]

    assert differing == [], "run make translations"


def _forms(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _said(catalogue: GNUTranslations, text: str | tuple[str, str], number: int) -> str:
    return catalogue.gettext(text) if isinstance(text, str) else catalogue.ngettext(*text, number)
