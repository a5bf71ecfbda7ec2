"""The outbox's tables alone on each database, a box, a world of scripted servers, and one way to drain and look."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Table, create_engine, select, update
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from portal.database import WRITING_OPTIONS, configure, engine_options, metadata, writing
from portal.outbox import add, models, worker
from portal.outbox.jobs import Job
from portal.outbox.ledger import Ledger
from portal.outbox.models import Attempt, Delivery, Message, MessageBody, WayOutRecord
from portal.outbox.pauses import Pause
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.outbox.settings import Surroundings, WorkerSettings
from portal.outbox.states import State
from portal.secret_box import SecretBox
from tests.conftest import HAS_POSTGRESQL, POSTGRESQL, missing
from tests.outbox.scripted import World

ON_POSTGRESQL = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # in the past: leases on PostgreSQL go by the real clock
TEST_KEY = "a key for the tests of the outbox, long enough"
CONTENT = b"Subject: Hello\r\nMessage-ID: %s\r\nTo: ada@contoso.test\r\n\r\nGood morning.\r\n"
_TABLES: list[Table] = [
    table
    for model in vars(models).values()
    if isinstance(table := getattr(model, "__table__", None), Table) and model.__module__ == models.__name__
]


@pytest.fixture(scope="session")
def postgresql_engine() -> Iterator[Engine | None]:
    """One database for the session, emptied between tests."""
    if not HAS_POSTGRESQL:
        yield None
        return
    name = f"portal_outbox_test_{uuid.uuid4().hex}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        connection.execute(f"alter database {name} set synchronous_commit = off")  # no test cuts the power
    url = POSTGRESQL.replace("postgresql://", "postgresql+psycopg://").rsplit("/", 1)[0] + f"/{name}"
    engine = create_engine(url, **engine_options(url))
    metadata.create_all(engine, tables=_TABLES)
    yield engine
    engine.dispose()
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "postgresql":
        engine = request.getfixturevalue("postgresql_engine")
        if engine is None:
            missing("a PostgreSQL server")
        with engine.begin() as connection:
            for table in reversed([table for table in metadata.sorted_tables if table in _TABLES]):
                connection.execute(table.delete())
        yield engine
        return
    engine = _sqlite_engine(shutil.copy(request.getfixturevalue("empty_database"), tmp_path / "portal.sqlite3"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables, to be copied."""
    path = tmp_path_factory.mktemp("outbox") / "empty.sqlite3"
    engine = _sqlite_engine(path)
    metadata.create_all(engine, tables=_TABLES)
    engine.dispose()
    return path


def _sqlite_engine(path: Path) -> Engine:
    url = f"sqlite:///{path}"
    engine = create_engine(url, **engine_options(url))
    configure(engine)
    return engine


@pytest.fixture(scope="session")
def box() -> SecretBox:
    return SecretBox((TEST_KEY,))


@pytest.fixture
def world() -> World:
    return World()


def prepared(**changes: Any) -> PreparedMessage:
    """An ordinary message to one recipient, queued at NOW."""
    id = changes.pop("id", None) or uuid.uuid4()
    message_id = f"<{id}@contoso.test>"
    message = PreparedMessage(
        id=id,
        kind="password_changed",
        is_secret=False,
        lane=Lane.NORMAL,
        schedule=Schedule.NORMAL,
        route="default",
        from_mailbox=None,
        mail_from=None,
        rcpt_to=("ada@contoso.test",),
        subject="Hello",
        message_id=message_id,
        content=CONTENT % message_id.encode(),
        created_at=NOW,
        expires_at=NOW + timedelta(days=3),
    )
    return replace(message, **changes)


SECRET: Mapping[str, Any] = {
    "kind": "password_reset",
    "is_secret": True,
    "lane": Lane.SECRET,
    "schedule": Schedule.SECRET,
    "expires_at": NOW + timedelta(hours=1),
    "keep_for": 300,
}
TEST: Mapping[str, Any] = {
    "kind": "test",
    "schedule": Schedule.ONCE,
    "route": "connection:00000000-0000-0000-0000-00000000000a",
}


class Outbox:
    """What a test does to the outbox, and what it reads there."""

    def __init__(self, engine: Engine, box: SecretBox, world: World) -> None:
        self.engine = engine
        self.box = box
        self.world = world
        self.paused: list[Pause] = []
        self.ended: list[tuple[uuid.UUID, State]] = []
        self.settings = WorkerSettings()
        self.clock = NOW

    def add(self, **changes: Any) -> uuid.UUID:
        return self.in_session(lambda session: add(session, prepared(**changes), box=self.box))

    def with_settings(self, **changes: Any) -> WorkerSettings:
        return replace(self.settings, **changes)

    def ledger(self, **changes: Any) -> Ledger:
        """A worker's, without the worker."""
        return Ledger(self.engine, self.surroundings(), self.with_settings(**changes))

    def surroundings(self) -> Surroundings:
        """What a worker has to do with; what it tells is in `paused` and `ended`."""
        return Surroundings(
            box=self.box,
            ways_out=self.world.ways_out,
            open_transport=self.world.open_transport,
            on_paused=lambda _id, pause, _now: self.paused.append(pause),
            on_end_state=lambda message_id, state, _now: self.ended.append((message_id, state)),
        )

    def add_in(self, session: Session, **changes: Any) -> uuid.UUID:
        return add(session, prepared(**changes), box=self.box)

    def writing(self) -> AbstractContextManager[Connection]:
        return writing(self.engine).begin()

    def budget(self, connection_id: uuid.UUID) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(select(WayOutRecord.budget).where(WayOutRecord.connection_id == connection_id))

    def attempts_of_all(self) -> list[Row[Any]]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(Attempt.__table__)))

    def in_session(self, act: Callable[[Session], Any]) -> Any:
        """Run `act` in a session that commits, as unit_of_work does."""
        with Session(self.engine) as session:
            session.connection(execution_options=WRITING_OPTIONS)
            result = act(session)
            session.commit()
            return result

    def send(self, at: datetime = NOW) -> None:
        """Send what is due at that moment. A script may move `clock` on while it sends."""
        self.clock = at
        settings = replace(self.settings, clock=lambda: self.clock, senders=1)
        worker.Worker(self.engine, self.surroundings(), settings, jobs=(), stop=threading.Event()).drain()

    def deliveries(self, message_id: uuid.UUID | None = None) -> list[Row[Any]]:
        query = select(Delivery.__table__).order_by(Delivery.id)
        if message_id is not None:
            query = query.where(Delivery.message_id == message_id)
        with self.engine.connect() as connection:
            return list(connection.execute(query))

    def delivery(self, message_id: uuid.UUID) -> Row[Any]:
        (row,) = self.deliveries(message_id)
        return row

    def state(self, message_id: uuid.UUID) -> str:
        return str(self.delivery(message_id).state)

    def states(self) -> list[str]:
        return [row.state for row in self.deliveries()]

    def attempts(self, message_id: uuid.UUID) -> list[Row[Any]]:
        query = select(Attempt.__table__).join(Delivery).where(Delivery.message_id == message_id).order_by(Attempt.id)
        with self.engine.connect() as connection:
            return list(connection.execute(query))

    def body(self, message_id: uuid.UUID) -> Row[Any] | None:
        with self.engine.connect() as connection:
            return connection.execute(
                select(MessageBody.__table__).where(MessageBody.message_id == message_id)
            ).one_or_none()

    def set(self, message_id: uuid.UUID, **values: Any) -> None:
        """Put a delivery into a state as if it had come there."""
        with writing(self.engine).begin() as connection:
            connection.execute(update(Delivery).where(Delivery.message_id == message_id).values(**values))

    def set_body(self, message_id: uuid.UUID, **values: Any) -> None:
        with writing(self.engine).begin() as connection:
            connection.execute(update(MessageBody).where(MessageBody.message_id == message_id).values(**values))

    def checkpoint(self) -> None:
        with self.engine.connect() as connection:
            connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # type: ignore[union-attr]

    def lease_clock(self) -> datetime:
        """What the clock that judges leases shows: the database's own on PostgreSQL."""
        return datetime.now(UTC) if self.engine.dialect.name == "postgresql" else self.clock

    def lose(self, message_id: uuid.UUID, state: State = State.SENDING) -> None:
        """As if a worker had died with this delivery in its hands, and its lease had run out."""
        self.set(message_id, state=state, lease_owner="dead:1:x", lease_until=self.clock - timedelta(seconds=1))

    def count(self, model: type = Message) -> int:
        with self.engine.connect() as connection:
            return len(connection.execute(select(model.__table__)).all())  # type: ignore[attr-defined]


class RunningWorker:
    """A worker in a thread, whose clock starts at NOW and runs."""

    def __init__(
        self,
        outbox: Outbox,
        settings: WorkerSettings,
        *,
        jobs: Sequence[Job],
        engine: Engine | None,
        obstacle: Callable[[], str],
    ) -> None:
        self.stop = threading.Event()
        self.error: Exception | None = None  # that ended it; a test that expects one takes it away
        begun = time.monotonic()
        self._outbox = outbox
        self._arguments: dict[str, Any] = {
            "jobs": jobs,
            "obstacle": obstacle,
            "settings": replace(settings, clock=lambda: NOW + timedelta(seconds=time.monotonic() - begun)),
        }
        self._thread = threading.Thread(target=self._run, args=(engine or outbox.engine,))
        self._thread.start()

    def _run(self, engine: Engine) -> None:
        outbox = self._outbox
        try:
            worker.run(
                engine,
                box=outbox.box,
                ways_out=outbox.world.ways_out,
                open_transport=outbox.world.open_transport,
                on_end_state=lambda message_id, state, _now: outbox.ended.append((message_id, state)),
                stop=self.stop,
                **self._arguments,
            )
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def end(self, *, within: float = 10) -> float:
        """Stop it; returns how many seconds that took."""
        begun = time.monotonic()
        self.stop.set()
        self._thread.join(timeout=within)
        assert not self._thread.is_alive()
        return time.monotonic() - begun


StartWorker = Callable[..., RunningWorker]


@pytest.fixture(params=[False, True], ids=["waiting", "non-blocking"])
def start_worker(outbox: Outbox, request: pytest.FixtureRequest) -> Iterator[StartWorker]:
    """Start workers that are stopped at the end of the test; with transports that are waited on, and that need not."""
    outbox.world.non_blocking = request.param
    running: list[RunningWorker] = []

    def start(
        *,
        jobs: Sequence[Job] = (),
        engine: Engine | None = None,
        obstacle: Callable[[], str] = lambda: "",
        **changes: Any,
    ) -> RunningWorker:
        quick = {"look_every": timedelta(seconds=0.05), "sweep_every": timedelta(seconds=0.2), **changes}
        settings = replace(WorkerSettings(), **quick)
        running.append(RunningWorker(outbox, settings, jobs=jobs, engine=engine, obstacle=obstacle))
        return running[-1]

    yield start
    for one in running:
        one.end()
        assert one.error is None


def until(is_so: Callable[[], object], *, within: float = 10) -> None:
    """Wait for the world to be so."""
    end = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


@pytest.fixture
def outbox(engine: Engine, box: SecretBox, world: World) -> Outbox:
    return Outbox(engine, box, world)


def fails_once(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[str]:
    """A function fails the first time, as where another one has SQLite for too long; the names of what has failed."""
    real, failed = getattr(owner, name), []

    def call(*arguments: Any, **others: Any) -> Any:
        if not failed:
            failed.append(name)
            raise OperationalError("", None, Exception("database is locked"))
        return real(*arguments, **others)

    monkeypatch.setattr(owner, name, call)
    return failed
