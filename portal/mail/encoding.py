"""Text for headers as 7-bit tokens: encoded words (RFC 2047), phrases (RFC 5322), parameters (RFC 2231).

A token holds no line break; `fold` joins tokens with spaces and breaks lines between them. Text that contains
`=?` is always encoded, so that nobody who decodes a header finds more than the text that was given.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from portal.mail.addresses import Mailbox

LINE_LENGTH = 76  # RFC 2047 2: lines with encoded words; RFC 5322 2.1.1 recommends 78
_ENCODED_WORD_LENGTH = 75  # RFC 2047 2
_PREFIX = "=?utf-8?q?"
_FRAME_LENGTH = len(_PREFIX) + len("?=")
_LITERAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")  # RFC 2047 5 (3)
_PLAIN_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
_PLAIN_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_PLAIN_QUOTED = re.compile(r"[ -~]+")
_QUOTED_LENGTH = 60  # a quoted name is not folded
_PLAIN_FILENAME = re.compile(r"[A-Za-z0-9._-](?:[A-Za-z0-9._ -]{0,48}[A-Za-z0-9._-])?")
_SECTION_LENGTH = 50


def fold(name: str, tokens: Iterable[str]) -> str:
    """The header's value: tokens joined by spaces, broken before a token that passes 76 characters."""
    tokens = list(tokens)
    whole = " ".join(tokens)
    if len(name) + 2 + len(whole) <= LINE_LENGTH:
        return whole
    lines: list[str] = []
    line = f"{name}:"
    for token in tokens:
        if len(line) + 1 + len(token) > LINE_LENGTH and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {token}"
    lines.append(line)
    return "\r\n".join(lines)[len(name) + 2 :]


def unstructured(name: str, text: str) -> str:
    """The value of a header such as Subject. `text` is one line without spaces around it."""
    if "=?" not in text and _PLAIN_WORDS.fullmatch(text):
        words = text.split(" ")
        if max(map(len, words)) <= LINE_LENGTH - len(name) - 2:
            return fold(name, words)
    return fold(name, encoded_words(text, beside=len(name) + 2))


def mailboxes(name: str, listed: Iterable[Mailbox]) -> str:
    """The value of a header such as To: names as phrases, non-ASCII local parts as UTF-8 (RFC 6532)."""
    groups = [[*_phrase(name, box.display_name), _angle(box)] for box in listed]
    tokens = [token for group in groups[:-1] for token in (*group[:-1], group[-1] + ",")]
    return fold(name, tokens + groups[-1])


def encoded_words(text: str, *, beside: int) -> Iterator[str]:
    """Words that decode to `text`, split between characters; the first leaves room for `beside` characters."""
    quoted = [_q_encoded(char) for char in text]
    octets = [len(char.encode()) for char in text]
    use_b = sum(map(len, quoted)) > (sum(octets) + 2) // 3 * 4
    sizes = octets if use_b else [len(code) for code in quoted]
    room = _ENCODED_WORD_LENGTH - max(beside - 1, 0)
    start = 0
    while start < len(text):
        limit = (room - _FRAME_LENGTH) // 4 * 3 if use_b else room - _FRAME_LENGTH
        end, used = start, 0
        while end < len(text) and used + sizes[end] <= limit:
            used += sizes[end]
            end += 1
        if use_b:
            yield f"=?utf-8?b?{base64.b64encode(text[start:end].encode()).decode('ascii')}?="
        else:
            yield f"{_PREFIX}{''.join(quoted[start:end])}?="
        start, room = end, _ENCODED_WORD_LENGTH


def filename_parameter(filename: str) -> list[str]:
    """`filename` for Content-Disposition, in sections where it is long or not plain ASCII (RFC 2231 3 and 4)."""
    if _PLAIN_FILENAME.fullmatch(filename):
        return [f'filename="{filename}"']
    codes = re.findall(r"%[0-9A-F]{2}|.", quote(filename, safe=""))
    sections = [""]
    for code in codes:
        if len(sections[-1]) + len(code) > _SECTION_LENGTH:
            sections.append("")
        sections[-1] += code
    if len(sections) == 1:
        return [f"filename*=utf-8''{sections[0]}"]
    start = [f"filename*0*=utf-8''{sections[0]}"]
    start += [f"filename*{number}*={section}" for number, section in enumerate(sections[1:], 1)]
    return [f"{section};" for section in start[:-1]] + start[-1:]


def _phrase(name: str, display_name: str) -> list[str]:
    if not display_name:
        return []
    if "=?" not in display_name and len(display_name) <= _QUOTED_LENGTH:
        if _PLAIN_ATOMS.fullmatch(display_name):
            return display_name.split(" ")
        if _PLAIN_QUOTED.fullmatch(display_name):
            return ['"' + display_name.replace("\\", "\\\\").replace('"', '\\"') + '"']
    return list(encoded_words(display_name, beside=len(name) + 2))


def _angle(mailbox: Mailbox) -> str:
    return f"<{mailbox.address}>" if mailbox.display_name else mailbox.address


def _q_encoded(char: str) -> str:
    if char in _LITERAL:
        return char
    return "_" if char == " " else "".join(f"={octet:02X}" for octet in char.encode())
