"""The README tells the truth: what it names exists, and what exists and people need is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from portal import create_app
from portal.cli import cli
from portal.config import load_config
from portal.paths import CHECKOUT, PACKAGE
from portal.transports.diagnosis import all_codes

README = (CHECKOUT / "README.md").read_text()
CODE_SPANS = re.findall(r"`([^`\n]+)`", README)
MADE_BY_THE_FIRST_RUN = {".venv/bin"}
WITHOUT_EFFECT_YET = {"relay"}  # named beside the variables that have none either
NO_ROOMS = {"commands", "migrations"}
FOLLOW_FROM_OTHERS = {"PORTAL_PUBLIC_URL", "PORTAL_DATABASE_URL", "PORTAL_SECRET_KEY", "PORTAL_INSTANCE"}


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
    pages = {re.sub(r"\?.*", "", span) for span in CODE_SPANS if re.match(r"(http://127\.0\.0\.1:8000)?/[a-z]", span)}
    assert len(pages) > 3

    rules = {rule.rule for rule in app.url_map.iter_rules()}

    assert {page.removeprefix("http://127.0.0.1:8000") for page in pages} <= rules


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

    assert unlisted == WITHOUT_EFFECT_YET
    assert all(f"`portal {name}`" in README for name in unlisted)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))

    assert {"run", "test", "help", "lint", "bench"} <= named <= targets


def test_the_map_shows_every_room_and_no_other() -> None:
    shown = {re.findall("`(.+?)`", cells[0])[0].rstrip("/") for cells in _table("room")}

    rooms = {f"portal/{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")} - {
        f"portal/{one}" for one in NO_ROOMS
    }

    assert shown == rooms | {"portal/mail_service.py"}


def test_every_code_of_the_connection_check_is_listed_with_its_meaning() -> None:
    listed = [(cells[0].strip("`"), cells[1]) for cells in _table("code")]

    assert listed == [(code, _in_words(cause)) for code, cause in all_codes()]


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
