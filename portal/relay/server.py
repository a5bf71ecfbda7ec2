"""The relay itself: it listens, knows its connections, watches their clocks, and ends them in order."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from portal.config import BindAddress, RelayBind
from portal.network.host_names import as_address
from portal.relay import replies
from portal.relay.clients import Clients
from portal.relay.connection import Connection
from portal.relay.content import Budget
from portal.relay.intake import Intake, Waiting
from portal.relay.limits import Limits
from portal.relay.replies import Reply
from portal.relay.session import Session
from portal.relay.sign_in import Proof
from portal.relay.talk import Client, Submission
from portal.relay.throttle import OpenConnections, WrongProofs
from portal.relay.tls import Certificates

_LOOK_SECONDS = 0.25  # between two looks at the deadlines
_MOST_KNOWN = 1000
_ASKERS = 4  # threads that ask the database who somebody is
_BACKLOG = 512
_log = structlog.get_logger("portal.relay")


class CannotListen(Exception):
    """Nothing can listen at an address; one line says why."""


class Relay:
    """For the thread of its event loop, save where it says otherwise."""

    def __init__(
        self,
        clients: Clients,
        intake: Intake,
        *,
        host: str,
        certificates: Certificates | None,
        limits: Limits,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.wrong_proofs = WrongProofs()
        self.is_stopping = False
        self._host = _greeting_name(host)
        self._clients = clients
        self._intake = intake
        self._certificates = certificates
        self._budget = Budget(limits.content_in_memory)
        self._open = OpenConnections(most=limits.connections, most_per_address=limits.connections_per_address)
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._askers = ThreadPoolExecutor(_ASKERS, thread_name_prefix="relay-clients")
        self._known: OrderedDict[str, tuple[float, Client]] = OrderedDict()
        self._told: deque[Callable[[], None]] = deque()
        self._is_telling = False
        self._servers: list[asyncio.Server] = []

    async def listen(self, binds: Sequence[RelayBind]) -> list[BindAddress]:
        """Take connections at these addresses; returns them with their ports. Raises CannotListen."""
        for bind in binds:
            make = partial(Connection, self, bind.scheme)
            try:
                server = await self.loop.create_server(
                    make, bind.address.host, bind.address.port, backlog=_BACKLOG, reuse_address=True
                )
            except OSError as error:
                raise CannotListen(f"PORTAL_RELAY_BIND: {_why_not(error, bind.address)}") from None
            self._servers.append(server)
        return [BindAddress(*one.sockets[0].getsockname()[:2]) for one in self._servers]

    async def serve(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, then until the messages under way are done, for at most `limits.drain` seconds."""
        watch = self.loop.create_task(self._watch())
        await stop.wait()
        self.is_stopping = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.stop()
        ends_at = self.loop.time() + self.limits.drain
        while self._connections and self.loop.time() < ends_at:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.abort()
        watch.cancel()
        for task in list(self._tasks):
            task.cancel()
        self._askers.shutdown(cancel_futures=True)

    # What connections ask for

    def enter(self, connection: Connection, address: str) -> bool:
        """Count a connection; False where it is one too many."""
        if self.is_stopping or not self._open.enter(address):
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: Connection, address: str) -> None:
        """It is closed."""
        self._connections.discard(connection)
        self._open.leave(address)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it, and say if it failed."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def session(self, client: Client, scheme: str) -> Session:
        """A conversation that begins."""
        return Session(client, host=self._host, scheme=scheme, limits=self.limits, budget=self._budget)

    def tls_context(self, *, is_legacy: bool) -> ssl.SSLContext:
        """For one client."""
        if self._certificates is None:
            raise RuntimeError("no port of this relay has TLS")
        return self._certificates.context(is_legacy=is_legacy)

    async def know(self, address: str) -> Client | None:
        """Who connects from there; None where the database does not say."""
        now = self.loop.time()
        found = self._known.get(address)
        if found is not None and now - found[0] < self.limits.knows_address:
            return found[1]
        try:
            client: Client = await self._ask(partial(self._clients.know, address, now=datetime.now(UTC)))
        except SQLAlchemyError as error:
            _log.error("the database does not answer", error=type(error).__name__)
            return None
        self._known[address] = (now, client)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return client

    async def prove(self, address: str, proof: Proof) -> tuple[Client | None, Reply | None]:
        """Who signs in; without a client and without a reply, the proof is wrong."""
        try:
            return await self._ask(partial(self._clients.prove, address, proof, now=datetime.now(UTC))), None
        except SQLAlchemyError as error:
            _log.error("the database does not answer", error=type(error).__name__)
            return None, Reply(454, "4.7.0", replies.UNAVAILABLE.text)

    def submit(self, submission: Submission, address: str, done: Callable[[Reply], None]) -> None:
        """Store a message; `done` is called in the loop's thread once it is."""
        self._intake.put(Waiting(submission, address, lambda reply: self._tell(partial(done, reply))))

    async def _ask(self, work: Callable[[], Any]) -> Any:
        return await self.loop.run_in_executor(self._askers, work)

    def _tell(self, what: Callable[[], None]) -> None:
        """From any thread; the loop is woken once for all that comes at the same moment."""
        self._told.append(what)
        if not self._is_telling:
            self._is_telling = True
            try:
                self.loop.call_soon_threadsafe(self._tell_all)
            except RuntimeError:  # the loop has ended, and with it every connection
                _log.info("a reply came after the end")

    def _tell_all(self) -> None:
        self._is_telling = False
        while self._told:
            tell = self._told.popleft()
            try:
                tell()
            except Exception:  # noqa: BLE001 - the others must hear what became of theirs
                _log.exception("a reply was not given")

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a connection failed", error=f"{type(error).__name__}: {error}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self.loop.time()
            for connection in list(self._connections):
                try:
                    connection.look_at_clock(now)
                except Exception:  # noqa: BLE001 - without this watch nobody's time would ever run out
                    _log.exception("a connection failed")
                    connection.abort()


def _greeting_name(host: str) -> str:
    """The portal's name as a server says it, an address as a literal (RFC 5321 4.1.3)."""
    address = as_address(host)
    if address is None:
        return host
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


def _why_not(error: OSError, address: BindAddress) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"something else listens at {address} already; stop it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"only root may listen at port {address.port}; choose one from 1024 on and forward the port to it"
    return f"nothing can listen at {address}: {error.strerror}"
