"""How many connections an address has, and how often it signed in with a wrong password lately; of one thread."""

from __future__ import annotations

from collections import Counter, OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network

MOST_WRONG = 20  # sign-ins of one address ...
WINDOW_SECONDS = 600.0  # ... in this time
_MOST_ADDRESSES = 10_000


def group_of(address: str) -> str:
    """What stands for one client: its address, of IPv6 the /64, which one machine may use wholly."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)


class OpenConnections:
    """Counts those that are open."""

    def __init__(self, *, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count one more; False where it is one too many and not counted."""
        group = group_of(address)
        if self._open.total() >= self._most or self._open[group] >= self._most_per_address:
            return False
        self._open[group] += 1
        return True

    def leave(self, address: str) -> None:
        group = group_of(address)
        self._open[group] -= 1
        if not self._open[group]:
            del self._open[group]


class WrongProofs:
    """Counts wrong sign-ins; `now` is a monotonic clock's."""

    def __init__(self, *, most: int = MOST_WRONG, window_seconds: float = WINDOW_SECONDS) -> None:
        self._most = most
        self._window_seconds = window_seconds
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when the window began, and how many

    def is_over(self, address: str, now: float) -> bool:
        """Whether no further proof of this address is looked at."""
        began, count = self._counts.get(group_of(address), (now, 0))
        return count >= self._most and now - began < self._window_seconds

    def note(self, address: str, now: float) -> None:
        group = group_of(address)
        began, count = self._counts.pop(group, (now, 0))
        self._counts[group] = (now, 1) if now - began >= self._window_seconds else (began, count + 1)
        while len(self._counts) > _MOST_ADDRESSES:
            self._counts.popitem(last=False)
