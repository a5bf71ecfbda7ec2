"""A full disk under the embedded database: what cannot be stored is not promised, and all goes on with new space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from portal.accounts.models import ResetRequest
from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.visitors import Visitor, wait_until_answering
from tests.supervisor.groups import until

MOST_POSTS = 2000  # until the space that the database had set aside is used up


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def installation(
    environ: dict[str, str], disk: SmallDisk, tmp_path: Path, migrated_sqlite: Path
) -> Iterator[Installation]:
    """Its instance folder is the small disk."""
    shutil.copy(migrated_sqlite, disk.path / "portal.sqlite3")
    url = f"sqlite:///{disk.path / 'portal.sqlite3'}"
    installation = Installation(environ | {"PORTAL_INSTANCE": str(disk.path), "PORTAL_DATABASE_URL": url}, tmp_path)
    yield installation
    installation.close()
    print(installation.said())  # shown for a test that failed


@pytest.fixture
def database_url() -> str:
    return "sqlite://"


def test_the_web_server_promises_nothing_that_it_cannot_store(installation: Installation, disk: SmallDisk) -> None:
    bind = installation.environ["PORTAL_BIND"]
    installation.command("web")
    wait_until_answering(bind)
    visitor = Visitor(bind)
    visitor.open("/forgot-password")
    disk.fill()

    promised: list[str] = []
    refused: list[str] = []
    for number in range(MOST_POSTS):
        name = f"user{number}@contoso.test"
        answer = visitor.post("/forgot-password", {"identifier": name})
        (promised if answer.status == 303 else refused).append(name)
        if answer.status != 303:
            break
    page = visitor.get("/sign-in")
    disk.empty()
    after = visitor.post("/forgot-password", {"identifier": "after@contoso.test"})

    with installation.engine.connect() as connection:
        stored = set(connection.scalars(select(ResetRequest.identifier)))
    assert answer.status == 500
    assert "Something went wrong in the portal" in answer.text
    assert "Traceback" not in answer.text
    assert page.status == 200
    assert after.status == 303
    assert stored == {*promised, "after@contoso.test"}


def test_a_worker_sends_nothing_that_it_cannot_write_down_and_records_what_it_sent_with_new_space(
    installation: Installation, disk: SmallDisk, server: HoldingServer
) -> None:
    server.hold("CONTENT")
    message, *_others = installation.queue(30, filler=4000)
    worker = installation.worker(lease_seconds=30)
    server.wait_until_held()
    with installation.engine.connect() as connection:  # no room is left in the log that was set aside
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        disk.fill()

    server.go_on()
    until(lambda: "the outbox cannot be written" in worker.said(), 20)
    taken = len(server.messages)
    disk.empty()
    until(lambda: installation.states() == {"sent": 30}, 20)

    assert taken == 5  # the slice that was in hand
    assert list(server.copies.values()) == [1] * 30
    assert installation.verdicts(message) == ["sent"]
