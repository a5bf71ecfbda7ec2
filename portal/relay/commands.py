"""Command lines and their arguments (RFC 5321 4.1.1), read one by one out of what has arrived."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from portal.mail.addresses import ADDRESS_LIMIT, AddressError, parse_address
from portal.relay import replies
from portal.relay.limits import LONGEST_COMMAND, MOST_WAITING
from portal.relay.replies import Reply

_BAD_OCTET = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PATH = re.compile(r"(?:<(?P<inner>[^<>]*)>|(?P<bare>[^<>\s]+))(?:\s+(?P<parameters>.*))?")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")
_NOT_IN_SENDERS = re.compile(r"[\s\"\\,;:()\[\]]")
_FROM_ANOTHER_WORLD = re.compile(rb"(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT|DELETE|PATCH|PRI) |[!-9;-~]+: ", re.IGNORECASE)
_ARGUMENTS_KEPT = 1024  # a device says the same for every message
_MOST_DIGITS = 20  # of SIZE, RFC 1870 section 4


class CommandRefused(Exception):
    """The command cannot be obeyed; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.text))
        self.reply = reply


@dataclass(frozen=True)
class Command:
    verb: str  # in upper case
    argument: bytes


@dataclass(frozen=True)
class Sender:
    """What MAIL says. `address` is what was typed, "" for the null reverse-path; `size` is None where unsaid."""

    address: str
    size: int | None = None
    needs_smtputf8: bool = False


class CommandLines:
    """Octets of which whole lines are taken. One that is too long is read over once its end has come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def clear(self) -> None:
        """Forget what has come and was not taken."""
        self._buffer.clear()

    def take(self) -> bytes | None:
        """The next line without its end, None while that has not come. Raises CommandRefused."""
        buffer = self._buffer
        end = buffer.find(b"\n")
        if end < 0:
            self._look_at_beginning()
            return None
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        if len(line) > LONGEST_COMMAND:
            raise CommandRefused(replies.LINE_TOO_LONG)
        if line[-2:] != b"\r\n" or b"\r" in line[:-2]:
            raise CommandRefused(replies.BARE_LINE_END)
        return line[:-2]

    def _look_at_beginning(self) -> None:
        """Of a line whose end has not come."""
        buffer = self._buffer
        if b"\r" in buffer[:-1]:
            raise CommandRefused(replies.BARE_LINE_END)
        if len(buffer) >= MOST_WAITING:  # nothing more of it is read
            raise CommandRefused(replies.NO_LINE)


def parse_command(line: bytes) -> Command:
    """Verb and argument. Raises CommandRefused."""
    if _BAD_OCTET.search(line):
        raise CommandRefused(replies.BAD_OCTET)
    verb, _space, argument = line.strip(b" \t").partition(b" ")
    return Command(verb.decode("ascii", "replace").upper(), argument.strip(b" \t"))


def is_from_another_world(line: bytes) -> bool:
    """Whether it looks like HTTP: somebody makes a browser or server talk to this port."""
    return _FROM_ANOTHER_WORLD.match(line) is not None


@lru_cache(maxsize=_ARGUMENTS_KEPT)
def parse_sender(argument: bytes) -> Sender:
    """The argument of MAIL. Raises CommandRefused."""
    found, parameters = _path(argument, "FROM")
    sender = Sender(found)
    for name, value in parameters:
        sender = _with_parameter(sender, name, value)
    if not found.isascii() and not sender.needs_smtputf8:
        raise CommandRefused(_NEEDS_SMTPUTF8)
    if len(found.encode()) > ADDRESS_LIMIT or _NOT_IN_SENDERS.search(found) or found.count("@") > 1:
        raise CommandRefused(Reply(553, "5.1.7", "This is no sender's address. Use one as in name@contoso.test."))
    return sender


@lru_cache(maxsize=_ARGUMENTS_KEPT)
def parse_recipient(argument: bytes, *, needs_smtputf8: bool) -> str:
    """The address that RCPT names, in canonical form. Raises CommandRefused.

    What another server would read as a way to go (RFC 5321 appendix C, the percent hack, bang paths) is refused: a
    list of allowed recipients means the address as a whole.
    """
    found, parameters = _path(argument, "TO")
    if parameters:
        raise CommandRefused(_unknown_parameter(parameters[0][0]))
    if not found.isascii() and not needs_smtputf8:
        raise CommandRefused(_NEEDS_SMTPUTF8)
    if found.startswith("@") or re.search(r"[%!:]", found):
        raise CommandRefused(
            Reply(553, "5.1.3", "An address that names a way to go is not taken: send to the recipient's own.")
        )
    try:
        return parse_address(found)
    except AddressError as error:
        raise CommandRefused(Reply(553, "5.1.3", error.reason)) from None


def _path(argument: bytes, keyword: str) -> tuple[str, list[tuple[str, str]]]:
    name, colon, rest = argument.partition(b":")
    if not colon or name.strip().upper() != keyword.encode():
        raise CommandRefused(_syntax(keyword))
    try:
        found = _PATH.fullmatch(rest.strip().decode())
    except UnicodeDecodeError:
        raise CommandRefused(_syntax(keyword)) from None
    if found is None:
        raise CommandRefused(_syntax(keyword))
    parameters = []
    for word in (found["parameters"] or "").split():
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None:
            raise CommandRefused(_unknown_parameter(word))
        parameters.append((parameter[1].upper(), parameter[2] or ""))
    address = found["inner"] if found["inner"] is not None else found["bare"]
    return address.strip(), parameters


def _with_parameter(sender: Sender, name: str, value: str) -> Sender:
    match name, value.upper():
        case "BODY", "7BIT" | "8BITMIME":
            return sender
        case "SMTPUTF8", "":
            return Sender(sender.address, sender.size, needs_smtputf8=True)
        case "SIZE", digits if digits.isdigit() and digits.isascii() and len(digits) <= _MOST_DIGITS:
            return Sender(sender.address, int(digits), sender.needs_smtputf8)
        case "AUTH", typed if typed:  # RFC 4954 section 5: whoever wrote it is not believed, and it goes no further
            return sender
    raise CommandRefused(_unknown_parameter(f"{name}={value}" if value else name))


_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "This address has letters beyond ASCII: say MAIL FROM with SMTPUTF8.")


def _syntax(keyword: str) -> Reply:
    return Reply(501, "5.5.4", f"The address is missing, as in {keyword}:<name@contoso.test>.")


def _unknown_parameter(word: str) -> Reply:
    return Reply(555, "5.5.4", f"The parameter {word[:40]} is not offered.")
