"""How much the relay takes, and for how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_COMMAND = 2048  # octets with CRLF: RFC 5321 4.5.3.1.4 and what AUTH and MAIL add to it (RFC 4954, 6531)
MOST_WAITING = 64 * 1024  # octets of commands that came before the ones before were answered; then reading stops


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one process. Durations in seconds, sizes in octets."""

    connections: int = 1000
    connections_per_address: int = 100
    content_in_memory: int = 256 * 1024 * 1024  # of all connections together
    greeting_wait: float = 0.1  # of clients that no server's network names: who talks first is no mail client
    knows_address: float = 2.0  # how long is remembered who an address is; what it submits is looked at anew
    handshake: float = 30.0
    command: float = 300.0  # RFC 5321 4.5.3.2.7
    unproved: float = 120.0  # from the connection on, until it is known which server it is
    content: float = 1800.0  # a whole message
    pace_looked_at: float = 60.0  # how often is looked whether content comes on where memory is scarce
    slowest_content: float = 1000.0  # octets a second
    session: float = 3 * 3600.0
    bare_line_wait: float = 5.0  # for the rest of a message that will be refused for its line ends
    failures: int = 20  # replies 5xx of one connection
    idle_commands: int = 100  # in a row that bring no message further
    surplus_recipients: int = 1000  # refused for being too many (RFC 5321 4.5.3.1.10)
    drain: float = 10.0
