"""Nothing that people read is out of a translator's reach: pages, refused forms and mails in a language of brackets.

In that language each marked text stands between ⟦ and ⟧, but for the values that are filled in. What is left outside
is a value, listed here with its reason, or a text that nobody marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import zip_longest
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from deploy import translations
from portal.audit.labels import ACTIONS
from portal.message_templates.kinds import KINDS
from portal.message_templates.languages import Value, language_of
from portal.message_templates.rendering import render_message
from portal.wording import N_
from tests.every_route import address, form, token_of
from tests.furnished import IDENTITIES, FurnishedPortal
from tests.page_reader import read
from tests.test_every_page import OTHER_STATES, PAGES
from tests.test_every_refused_form import REFUSED_FORMS

_PLACEHOLDER = re.compile(r"(%\(\w+\)[sd]|%%)")
_NO_TEXT = re.compile(  # what is typed or quoted as it is; raw values of the log, which is data; names of time zones
    r"<(script|style|svg|textarea|code|pre)\b.*?</\1>"
    r'|<span class="audit-value">[^<]*</span>|<select[^>]*name="time_zone".*?</select>',
    re.DOTALL,
)
_SPOKEN_ATTRIBUTES = ("title", "placeholder", "aria-label", "alt")
_A_WORD = re.compile(r"[^\W\d_]{2}")
_VALUES = {  # what may stand outside, and why
    "addresses of mail, and Message-IDs": r"<?[\w.+-]+@[\w.-]+>?",
    "web addresses": r"https?://\S+",
    "hosts and registered applications": r"\b[\w-]+(?:\.[\w-]+)*\.(?:test|com|co|org|net)\b",
    "paths of this portal and of others": r"(?<!\w)/[\w/%?=&.-]+",
    "files": r"\.env\b",
    "numbers of requests, accounts and things": r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4,12})*\b",
    "moments and spans, which Babel puts into words": (
        r"\b\d\d?\.? \w+\.? \d{4}(?:, \d\d:\d\d UTC)?|\b\d+ (?:Sek|Min|Std|Tag)\w*|\w+, \d\d? \w+ \d{4} [\d:]+ [+]0000"
    ),
    "what a server answered": r"\b\d{3} (?:\d\.\d\.\d [\w *]+|go ahead)|ESMTP ready|Connection refused",
    "names of people": r"\b(?:(?:Admin|Helpdesk|User) Ada|Ada(?: Lovelace)?|Ann|Bill|Disabled|Invited|Late|Person)\b",
    "names of connections and of a passkey": (
        r"\b(?:Main|Another|Consented|Draft|Graph|Kept here|Nowhere|Unconnected|Workspace|built-in|Blue security key)\b"
    ),
    "names of servers and keys, their user names, scopes and variables": (
        r"\b(?:Wiki|nightly|mp_\w+|wiki-\w+|send|read|settings|SITE=Berlin)\b|\b[A-Z]+_[A-Z_]+\b"
    ),
    "user names and roles that somebody typed": r"\b(?:relay|king|nobody|Nobody|nonsense|nowhere)\b",
    "names of providers, protocols and languages": r"\b(?:Google|Microsoft|PLAIN|LOGIN|English|Deutsch)\b",
    "names of programs whose settings are imported": r"\b(?:FluentSMTP|Keycloak|Post SMTP|SMTP2Graph|WP Mail SMTP)\b",
    "codes of what the audit log tells, which exports have": rf"\b(?:{'|'.join(map(re.escape, ACTIONS))})\b",
    "headers of a mail's source": r"^(?:From|To|Date|Subject|Message-ID)$",
    "subjects of mails, in the language of whoever got them": (
        r"\b(?:Test message from|Reset your password for) Mail Portal\b"
    ),
    "examples of what is typed, in a provider's own words": (
        r"openid email profile|mail-admins = admin|-----BEGIN CERTIFICATE-----"
    ),
    "what WTForms says of forged forms and long texts, which its own catalogues translate": (
        r"Feld kann nicht länger als \d+ Zeichen sein|Keine gültige Auswahl"
        r"|Ungültiger Wert. Mögliche Werte: check, save, draft, make_key_pair, promote"
    ),
}
_ALLOWED = re.compile("|".join(_VALUES.values()))


def in_brackets(text: str) -> str:
    """Each piece of the wording, the places of values left outside."""
    return "".join(
        piece if not piece.strip() or _PLACEHOLDER.fullmatch(piece) else f"⟦{piece}⟧"
        for piece in _PLACEHOLDER.split(text)
    )


def outside(text: str) -> str:
    """What stands in no brackets."""
    depth, left = 0, []
    for letter in text:
        depth += {"⟦": 1, "⟧": -1}.get(letter, 0)
        left.append(letter if depth == 0 and letter != "⟧" else " " if letter == "⟧" else "")
    return "".join(left)


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one language, in which every text that is marked today is translated."""
    catalog, folder = Catalog(locale="de"), tmp_path_factory.mktemp("languages")
    for message in translations.marked():
        if message.id:
            is_plural = isinstance(message.id, tuple)
            catalog.add(message.id, tuple(map(in_brackets, message.id)) if is_plural else in_brackets(message.id))
    path = folder / "de" / "LC_MESSAGES" / "messages.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalog)
    return folder


@pytest.fixture
def speaking(shown: FurnishedPortal, catalogues: Path) -> Iterator[FurnishedPortal]:
    """The furnished portal in the language of brackets alone."""
    babel = shown.app.extensions["babel"]
    was = babel.translation_directories, babel.default_directories, babel.locale_selector
    babel.translation_directories = babel.default_directories = [str(catalogues)]
    babel.locale_selector = lambda: "de"
    yield shown
    babel.translation_directories, babel.default_directories, babel.locale_selector = was


def unmarked(html: str) -> set[str]:
    """The texts and attributes of a page in which a word is left that is no value."""
    texts = re.sub(r"<[^>]*>", "\n", outside(_NO_TEXT.sub("\n", html))).split("\n")
    spoken = (element.attributes.get(name, "") for element in read(html).elements for name in _SPOKEN_ATTRIBUTES)
    left = (" ".join(outside(unescape(text)).split()) for text in (*texts, *spoken))
    return {text for text in left if _A_WORD.search(_ALLOWED.sub(" ", text))}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_every_page_can_be_translated(speaking: FurnishedPortal, identity: str) -> None:
    rules = [address(f"GET {rule}", speaking.things) for rule in PAGES]
    paths = [*rules, *(state.format(**speaking.things.ids) for state in OTHER_STATES)]

    answers = {path: speaking.client(identity).get(path) for path in paths}

    pages = {path: answer.text for path, answer in answers.items() if answer.status_code != 303}
    assert {path: left for path, text in pages.items() if (left := unmarked(text))} == {}
    assert identity != "admin" or sum("⟦" in text for text in pages.values()) > len(paths) / 2


@pytest.mark.parametrize(("identity", "route", "fields"), [one[:3] for one in REFUSED_FORMS])
def test_every_refusal_can_be_translated(
    speaking: FurnishedPortal, identity: str, route: str, fields: dict[str, str]
) -> None:
    client, path = speaking.client(identity), address(route, speaking.things)
    data = {**form(route, speaking.things), **fields, "csrf_token": token_of(client)}

    answer = client.post(path, data=data)

    assert "⟦" in answer.text
    assert unmarked(answer.text) == set()


_CHOICES = {  # values that choose the wording, and are not shown
    "means": ("link", "code", "both"),
    "change": (
        *("app_added", "app_removed", "passkey_added", "passkey_removed", "codes_renewed", "code_used"),
        *("replaced", "removed", "added"),
    ),
}


def mails(kind: str) -> Iterator[dict[str, Value]]:
    """Values of a kind in each of its wordings: sentences are marked ones of the portal, the rest has no letters."""
    moment = datetime(2026, 11, 21, 9, 5, tzinfo=UTC)
    for chosen in zip_longest(*(_CHOICES.get(name, ("",)) for name in KINDS[kind].placeholders), fillvalue=""):
        values: dict[str, Value] = {
            name: choice or ("https://1.1.1.1" if name in {"link", "portal_url"} else "2026")
            for name, choice in zip(KINDS[kind].placeholders, chosen, strict=True)
        }
        values |= {name: moment for name in values if name.endswith("_at")} | {"portal_name": "7"}
        sentences = {"cause", "remedy", "consequence", "credential", "left", "secret_name"} & values.keys()
        values |= dict.fromkeys(sentences, N_("%(name)s is paused. %(reason)s", name="7", reason=N_("Draft")))
        yield values


@pytest.mark.parametrize("kind", KINDS)
def test_every_mail_can_be_translated(catalogues: Path, kind: str) -> None:
    for values in mails(kind):
        mail = render_message(kind, values, language="de", catalogues=catalogues)

        html = re.sub(r"<!--.*?-->", "", mail.html or "", flags=re.DOTALL)
        parts = (mail.subject, " ".join(mail.text.split()), html)
        assert {left for part in parts for left in unmarked(part)} == set()
        assert "⟦" in mail.subject


def test_a_mail_tells_moments_days_and_durations_in_the_language_and_the_time_zone_of_whoever_gets_it(
    catalogues: Path,
) -> None:
    language, moment = language_of("de", catalogues), datetime(2026, 11, 1, 23, 52, tzinfo=UTC)

    told = [language.in_words(moment, time_zone=zone) for zone in ("", "Europe/Berlin", "Nowhere/At all", "../x")]

    assert told == [
        "1. November 2026, 23:52 UTC",
        "2. November 2026, 00:52 GMT+01:00",
        *["1. November 2026, 23:52 UTC"] * 2,
    ]
    assert language.in_words(moment.date()) == "1. November 2026"
    assert language_of("en", catalogues).in_words(moment) == "1 November 2026, 23:52 UTC"
    spans = [timedelta(minutes=1), timedelta(minutes=60), timedelta(minutes=90), timedelta(hours=24), timedelta(days=7)]
    assert list(map(language.in_words, spans)) == ["1 Minute", "60 Minuten", "90 Minuten", "24 Stunden", "7 Tage"]
