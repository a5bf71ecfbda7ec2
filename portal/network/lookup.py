"""Addresses of a name, from a resolver that may hang: asked in a thread of its own, awaited to a deadline."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeAlias

from portal.network.errors import NameNotFound, ResolveFailed
from portal.network.host_names import as_address
from portal.network.ranges import plain_form
from portal.wording import N_

Address: TypeAlias = IPv4Address | IPv6Address
Resolver: TypeAlias = Callable[..., list[tuple[Any, ...]]]  # called as socket.getaddrinfo, and answers as it does

# A lookup that outlives its deadline cannot be stopped, only counted: so many may hang at a time.
_lookups = threading.BoundedSemaphore(64)
_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY}


def look_up(name: str, *, deadline: float, resolver: Resolver) -> tuple[Address, ...]:
    """The distinct addresses of a normalised name in the resolver's order; an address answers for itself.

    `deadline` is a value of `time.monotonic()`. Raises NameNotFound or ResolveFailed.
    """
    literal = as_address(name)
    if literal is not None:
        return (plain_form(literal),)
    found = dict.fromkeys(
        plain_form(ip_address(answer[4][0]))
        for answer in _ask(name, deadline=deadline, resolver=resolver)
        if answer[0] in {socket.AF_INET, socket.AF_INET6}
    )
    if not found:
        raise NameNotFound(N_("The name %(host)s has no IP address.", host=name))
    return tuple(found)


def _ask(name: str, *, deadline: float, resolver: Resolver) -> list[tuple[Any, ...]]:
    outcome: queue.SimpleQueue[list[tuple[Any, ...]] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            outcome.put(resolver(name, None, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            outcome.put(error)
        finally:
            _lookups.release()

    if not _lookups.acquire(timeout=_seconds_until(deadline)):
        raise _too_late(name)
    threading.Thread(target=ask, name=f"resolve {name}", daemon=True).start()
    try:
        answer = outcome.get(timeout=_seconds_until(deadline))
    except queue.Empty:
        raise _too_late(name) from None
    if isinstance(answer, Exception):
        raise _as_refusal(name, answer) from answer
    return answer


def _seconds_until(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _too_late(name: str) -> ResolveFailed:
    return ResolveFailed(N_("The DNS server did not answer the question for %(host)s in time.", host=name))


def _as_refusal(name: str, error: Exception) -> Exception:
    if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME:
        return NameNotFound(
            N_("The name %(host)s is unknown to the DNS server that the portal's machine asks.", host=name)
        )
    if isinstance(error, OSError):
        said = (error.strerror or str(error)).rstrip(".")
        return ResolveFailed(N_("Looking up %(host)s failed: %(error)s.", host=name, error=said))
    return error
