"""A list of people as somebody has it: a table with a header, or addresses one a line, becomes lines to look at.

Knows neither the database nor who is there already. Nothing in a list is ever a formula or a template.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from portal.accounts.user_names import parse_name
from portal.mail.addresses import AddressError, Mailbox, parse_mailbox
from portal.wording import N_, Text

MOST_LINES = 5000
LARGEST = 1024 * 1024  # bytes
COLUMNS = ("address", "name", "role", "phone", "user_name", "language")
_OTHER_NAMES = {
    "email": "address",
    "e-mail": "address",
    "mail": "address",
    "email address": "address",
    "e-mail address": "address",
    "user name": "user_name",
    "username": "user_name",
    "telephone": "phone",
    "full name": "name",
}
_SEPARATORS = (";", "\t", ",")
_LONGEST_CELL = 1000  # characters


class UnreadableList(ValueError):
    """The list is no list; `reason` says what to change."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True)
class Line:
    """One line of the list, its number counted from 1. Values are as given, "" where there are none."""

    number: int
    address: str = ""
    name: str = ""
    role: str = ""
    phone: str = ""
    user_name: str = ""
    language: str = ""


def read_text(content: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises UnreadableList."""
    if len(content) > LARGEST:
        raise UnreadableList(N_("The list is larger than 1 MB. Split it."))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableList(N_("The file is not UTF-8 text. Save it as CSV in UTF-8.")) from None


def read_lines(text: str) -> list[Line]:
    """The lines that say something. Raises UnreadableList where there are none, or more than MOST_LINES."""
    if len(text.encode(errors="replace")) > LARGEST:
        raise UnreadableList(N_("The list is larger than 1 MB. Split it."))
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    first = next((line for line in text.split("\n") if line.strip()), "")
    separator = _separator(first)
    header = _header(first, separator)
    lines = list(_table(text, separator, header) if header else _addresses(text))
    if not lines:
        raise UnreadableList(N_("There is nobody in this list."))
    if len(lines) > MOST_LINES:
        raise UnreadableList(
            N_("The list has %(count)s lines; at most %(most)s are taken. Split it.", count=len(lines), most=MOST_LINES)
        )
    return lines


def _separator(first: str) -> str:
    return max(_SEPARATORS, key=first.count)


def _header(first: str, separator: str) -> tuple[str, ...]:
    """The columns that the first line names, () where it is no header. Raises UnreadableList for a bad one."""
    try:
        cells = next(csv.reader([first], delimiter=separator), [])
    except csv.Error:
        return ()
    names = tuple(_column(cell) for cell in cells)
    if "address" not in names:
        return ()
    unknown = [cell.strip() for cell, name in zip(cells, names, strict=True) if name not in COLUMNS and cell.strip()]
    if unknown:
        raise UnreadableList(
            N_(
                "There is no column “%(name)s”. The columns are: %(columns)s.",
                name=unknown[0][:60],
                columns=", ".join(COLUMNS),
            )
        )
    if len(set(names)) < len(names):
        raise UnreadableList(N_("A column stands in the header twice."))
    return names


def _column(cell: str) -> str:
    name = cell.strip().lower()
    return _OTHER_NAMES.get(name, name)


def _table(text: str, separator: str, header: tuple[str, ...]) -> Iterator[Line]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    is_header = True
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if is_header:
                is_header = False
                continue
            values = {name: cell.strip()[:_LONGEST_CELL] for name, cell in zip(header, cells, strict=False) if name}
            yield _line(rows.line_num, values)
    except csv.Error as error:
        reason = N_("Line %(number)s cannot be read: a quotation mark is not closed.", number=rows.line_num)
        raise UnreadableList(reason) from error


def _line(number: int, values: Mapping[str, str]) -> Line:
    """A cell for the address may hold a name too, which counts where the table has no other."""
    line = Line(number, **values)
    mailbox = _mailbox(line.address)
    if mailbox is None:
        return line
    others = {**values, "address": mailbox.address, "name": line.name or mailbox.display_name}
    return Line(number, **others)


def _addresses(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.strip().rstrip(",;").strip()[:_LONGEST_CELL]
        if not entry:
            continue
        mailbox = _mailbox(entry)
        yield Line(number, mailbox.address, mailbox.display_name) if mailbox else Line(number, entry)


def _mailbox(text: str) -> Mailbox | None:
    """A name and an address, or an address alone; None for anything else."""
    try:
        mailbox = parse_mailbox(text)
        return Mailbox(mailbox.address, parse_name(mailbox.display_name))
    except AddressError:
        return None
