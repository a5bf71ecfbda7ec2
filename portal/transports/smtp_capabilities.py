"""What a server offers in its answer to EHLO (RFC 5321 4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 3.1


@dataclass(frozen=True)
class Capabilities:
    """The extensions that the portal makes use of; all off after HELO."""

    is_known: bool = False  # whether EHLO was answered
    pipelining: bool = False  # RFC 2920
    eight_bit: bool = False  # 8BITMIME, RFC 6152
    smtputf8: bool = False  # RFC 6531
    starttls: bool = False  # RFC 3207
    has_size: bool = False  # RFC 1870
    largest_message: int = 0  # octets; 0 is no limit that the server would tell
    mechanisms: tuple[str, ...] = ()  # of AUTH, upper case, in the server's order (RFC 4954)


def read_capabilities(lines: Iterable[bytes]) -> Capabilities:
    """From the lines after the first of an EHLO reply; what is unknown or malformed is passed over."""
    words = [line.decode("ascii", "replace").upper().replace("=", " ", 1).split() for line in lines]
    offered = {entry[0]: entry[1:] for entry in words if entry and entry[0] != "AUTH"}
    size = offered.get("SIZE", [])
    return Capabilities(
        is_known=True,
        pipelining="PIPELINING" in offered,
        eight_bit="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        starttls="STARTTLS" in offered,
        has_size="SIZE" in offered,
        largest_message=int(size[0]) if size and size[0].isdecimal() and size[0].isascii() and len(size[0]) < 20 else 0,
        # Old servers write "AUTH=LOGIN" in a line of its own besides or instead of "AUTH LOGIN".
        mechanisms=tuple(
            dict.fromkeys(
                name for entry in words if entry[:1] == ["AUTH"] for name in filter(_MECHANISM.fullmatch, entry[1:])
            )
        ),
    )
