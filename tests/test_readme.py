"""The README tells the truth: what it names exists, and what exists and people need is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from flask import Flask

from portal import audit, create_app, settings_file, settings_sections
from portal.cli import cli
from portal.config import load_config
from portal.connections.file_fields import METHOD_KEYS
from portal.connections.file_items import KEYS
from portal.connections.labels import CLOUDS
from portal.connections.oauth import google_endpoints, microsoft_endpoints
from portal.connections.oauth.microsoft_certificates import KeyPair, make_key_pair
from portal.connections.oauth.provider import Cloud
from portal.connections.values import Method
from portal.paths import CHECKOUT, PACKAGE
from portal.settings_file import SecretReference
from portal.transaction import unit_of_work
from portal.transports.diagnosis import all_codes
from tests.conftest import copied

README = (CHECKOUT / "README.md").read_text()
CODE_SPANS = re.findall(r"`([^`\n]+)`", README)
MADE_BY_THE_FIRST_RUN = {".venv/bin", "bench/results.json"}
NO_ROOMS = {"commands", "migrations"}
FOLLOW_FROM_OTHERS = {"PORTAL_PUBLIC_URL", "PORTAL_DATABASE_URL", "PORTAL_SECRET_KEY", "PORTAL_INSTANCE"}
GUIDES = README.split("\n## Connect a mail server\n", 1)[1].split("\n## Send a test email\n", 1)[0]
SETTINGS_FILES = re.findall(r"^```yaml\n(.+?)^```", README, re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"(?:http://127\.0\.0\.1:8000|https://mail\.contoso\.com)?(/[a-z][^?]*)(?:\?.*)?")
SUBJECTS_OF_CODES = {code.partition(".")[0] for code, _ in all_codes()}


def test_every_path_exists() -> None:
    paths = {span for span in CODE_SPANS if re.fullmatch(r"[\w.-]+(/[\w.-]*)+", span)} - MADE_BY_THE_FIRST_RUN
    assert len(paths) > 15

    missing = {path for path in paths if not (CHECKOUT / path).exists()}

    assert missing == set()


def test_every_link_leads_somewhere() -> None:
    anchors = {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    links = {target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("https://")}
    assert links

    broken = {one for one in links if one[1:] not in anchors and not (CHECKOUT / one).is_file()}

    assert broken == set()


def test_every_page_exists(tmp_path: Path) -> None:
    app = create_app(load_config({"PORTAL_INSTANCE": str(tmp_path)}))
    pages = {found[1] for span in CODE_SPANS if (found := PAGE.fullmatch(span))}
    assert {"/setup", "/forgot-password", "/oauth/google/callback", "/oauth/microsoft/callback"} <= pages

    rules = {rule.rule for rule in app.url_map.iter_rules()}

    assert pages <= rules


def test_every_variable_is_listed_and_every_listed_one_is_known() -> None:
    listed = {span for span in CODE_SPANS if re.fullmatch(r"PORTAL_[A-Z_]+", span)}

    known = set(load_config({}).sources)

    assert listed == known


def test_the_defaults_are_those_that_it_states() -> None:
    stated = {
        name: value
        for names, values, *_ in _table("variable")
        for name, value in zip(re.findall("`(.+?)`", names), re.findall("`(.+?)`", values), strict=False)
        if name not in FOLLOW_FROM_OTHERS
    }
    assert {"PORTAL_BIND", "PORTAL_MAIL_PORTS", "PORTAL_LOG_FORMAT"} <= set(stated)

    said, by_default = load_config(stated), load_config({})

    assert replace(said, sources={}) == replace(by_default, sources={})


def test_every_command_is_one_that_the_command_line_knows() -> None:
    usages = [
        usage for cells in _table("command") for span in re.findall("`(.+?)`", cells[0]) for usage in _usages(span)
    ]
    assert len(usages) > 10

    for command, arguments, options in usages:
        assert not isinstance(command, click.Group)
        assert len(arguments) == sum(isinstance(one, click.Argument) for one in command.params), command.name
        known = {name: one.type for one in command.params for name in one.opts}
        for option, choices in options.items():
            assert option in known, (command.name, option)
            assert not choices or choices == getattr(known[option], "choices", None)


def test_every_command_of_the_command_line_is_listed() -> None:
    listed = " ".join(cells[0] for cells in _table("command"))

    unlisted = {name for name in cli.commands if not re.search(rf"\bportal {name}\b", listed)}

    assert unlisted == set()


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))

    assert {"run", "test", "help", "lint", "bench"} <= named <= targets


def test_the_map_shows_every_room_and_no_other() -> None:
    shown = {re.findall("`(.+?)`", cells[0])[0].rstrip("/") for cells in _table("room")}

    rooms = {f"portal/{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")} - {
        f"portal/{one}" for one in NO_ROOMS
    }

    assert shown == rooms


def test_every_code_of_the_connection_check_is_listed_with_its_meaning() -> None:
    listed = [(cells[0].strip("`"), cells[1]) for cells in _table("code")]

    assert listed == [(code, _in_words(cause)) for code, cause in all_codes()]


def test_every_code_that_an_explanation_names_is_one_of_the_check() -> None:
    named = {
        span
        for span in CODE_SPANS
        if re.fullmatch(r"[a-z]+\.[a-z0-9_]+", span) and span.partition(".")[0] in SUBJECTS_OF_CODES
    }

    assert len(named) > 40
    assert named <= {code for code, _ in all_codes()}


def test_the_guides_call_everything_by_the_words_of_the_pages() -> None:
    in_bold = {re.sub(r"\s+", " ", words) for words in re.findall(r"\*\*([^*]+)\*\*", GUIDES)}
    assert {"Client ID", "Mailbox", "Send through", "Connect"} <= in_bold

    sources = [*(CHECKOUT / "templates").rglob("*.html"), *(PACKAGE / "connections").rglob("*.py")]
    marked = {words for path in sources for words in re.findall(r'\bN?_\(\s*"([^"]+)"', path.read_text())}

    assert in_bold <= marked


def test_every_settings_file_can_be_applied_and_then_changes_nothing(readme_portal: Flask) -> None:
    assert len(SETTINGS_FILES) > 7

    for text in SETTINGS_FILES:
        first, second = _applied(readme_portal, text), _applied(readme_portal, text)

        assert first, text
        assert second == [], text


def test_the_keys_of_the_settings_file_are_those_that_it_takes() -> None:
    rows = {method: cells for cells in _table("method") for method in re.findall("`(.+?)`", cells[0])}
    listed = {key for cells in rows.values() for key in re.findall("`(.+?)`", cells[1])} - set(Method)

    assert set(rows) == set(Method)
    assert METHOD_KEYS <= listed <= set(KEYS)


def test_the_clouds_have_the_hosts_that_it_states() -> None:
    stated = [re.findall(r"[*`]+(.+?)[*`]+", " ".join(cells)) for cells in _table("cloud")]

    clouds = [(cloud, microsoft_endpoints.Endpoints.of(cloud)) for cloud in Cloud]
    assert stated == [
        [str(CLOUDS[cloud]), str(cloud), urlsplit(one.login_url).netloc, urlsplit(one.graph_url).netloc, one.smtp_host]
        for cloud, one in clouds
    ]


def test_the_permissions_are_those_that_the_portal_asks_for() -> None:
    asked = {google_endpoints.API_SCOPE, google_endpoints.SMTP_SCOPE}
    for by_smtp in (False, True):
        scopes = microsoft_endpoints.Endpoints.of(Cloud.GLOBAL).scopes_for(by_smtp=by_smtp)
        asked |= {scope.rpartition("/")[2] for scope in scopes}

    assert asked <= set(CODE_SPANS)
    assert {"Mail.Send", "User.Read", "SMTP.Send"} < asked


@pytest.fixture
def readme_portal(migrated_sqlite: Path, tmp_path: Path) -> Flask:
    url = copied(migrated_sqlite, tmp_path)
    return create_app(load_config({"PORTAL_INSTANCE": str(tmp_path), "PORTAL_DATABASE_URL": url}))


def _applied(app: Flask, text: str) -> list[str]:
    """What applying the file changes; the secrets that it refers to are there."""
    whole = text.replace(
        "      …\n", "".join(f"      {line}\n" for line in _pair().public_certificate.splitlines()[1:-1])
    )
    node = settings_file.read(whole.encode(), follow=_follow)
    sections = settings_sections.sections(app.extensions["secret_box"], app.config["PORTAL"].public_url)
    with app.app_context(), unit_of_work() as session:
        now = datetime(2026, 11, 21, tzinfo=UTC)
        return [str(one) for one in settings_file.apply(session, node, sections, actor=audit.COMMAND_LINE, now=now)]


@cache
def _pair() -> KeyPair:
    return make_key_pair("the README's portal", now=datetime(2026, 11, 21, tzinfo=UTC))


def _service_account() -> str:
    named = {"client_email": "portal@project.iam.gserviceaccount.com", "client_id": "123456789012345678901"}
    key = {"private_key_id": "1", "private_key": _pair().private_key}
    return json.dumps({"type": "service_account", **named, **key})


def _follow(reference: SecretReference) -> str:
    if reference.kind == "env":
        return f"what {reference.target} holds"
    return _service_account() if reference.target.endswith(".json") else _pair().private_key


def _table(first_heading: str) -> Iterator[list[str]]:
    """The rows of the table whose first column has this heading, as cells."""
    lines = README.split(f"\n| {first_heading} |", 1)[1].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _usages(span: str) -> Iterator[tuple[click.Command, list[str], dict[str, tuple[str, ...]]]]:
    """Each command of `portal group one|other ARGUMENT [--option a|b]`: itself, its arguments, its options' choices."""
    name, _, usage = span.replace("\\|", "|").removeprefix("portal ").partition(" ")
    found = re.findall(r"(--[\w-]+)(?: ([a-z]+(?:\|[a-z]+)+))?", usage)
    options = {option: tuple(choices.split("|")) if choices else () for option, choices in found}
    command = cli.commands[name]
    for alternative in re.sub(r" ?\[?--.*", "", usage).split("|"):
        words = alternative.split()
        if isinstance(command, click.Group):
            yield command.commands[words[0]], words[1:], options
        else:
            yield command, words, options


def _in_words(cause: str) -> str:
    """What the connection fills in stands in capitals."""
    return re.sub(r"%\((\w+?)(?:_argument)?\)s", lambda name: name[1].upper(), cause).replace("%%", "%")


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
