"""The schema: what the migrations make is what the models say; upgrades are safe to repeat, to run twice and to fail.

An upgrade from this version to the next is tried with a next version: a copy of the package with one more migration.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import Engine

from portal import create_app, schema
from portal.config import load_config
from portal.database import metadata, writing
from portal.extensions import db
from tests.conftest import environment, opened, postgresql_database
from tests.next_version import NEXT, begin_upgrade, next_version


@pytest.fixture
def empty_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """Another database of the same kind, without any table."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    with postgresql_database() as url:
        yield url


@pytest.fixture
def empty_environ(empty_url: str, tmp_path: Path) -> dict[str, str]:
    return environment(empty_url, tmp_path)


@pytest.fixture
def empty_app(empty_environ: dict[str, str]) -> Iterator[Flask]:
    with opened(empty_environ) as app:
        yield app


@pytest.fixture
def own_app(empty_app: Flask) -> Flask:
    """On a database of its own, whose schema no other test needs."""
    schema.upgrade(empty_app)
    return empty_app


def test_alembic_finds_no_difference_between_migrations_and_models(engine: Engine) -> None:
    is_told_of_defaults = engine.dialect.name == "postgresql"  # SQLite numbers rows without any

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": is_told_of_defaults})
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_migrations_make_the_tables_that_the_models_describe(engine: Engine, empty_url: str) -> None:
    by_models = create_engine(empty_url)
    metadata.create_all(by_models)

    described, migrated = _tables(by_models), _tables(engine)

    by_models.dispose()
    del migrated["alembic_version"]
    assert migrated == described
    assert len(migrated) >= 15


def test_the_first_upgrade_makes_every_table_and_the_second_changes_nothing(empty_app: Flask) -> None:
    first = schema.upgrade(empty_app)
    tables = _tables(_engine(empty_app))

    second = schema.upgrade(empty_app)

    assert (first, second) == ((None, schema.NEWEST), (schema.NEWEST, schema.NEWEST))
    assert _tables(_engine(empty_app)) == tables
    assert {table.name for table in metadata.sorted_tables} <= set(tables)


def test_an_empty_database_is_refused_with_the_way_out(empty_app: Flask) -> None:
    with pytest.raises(schema.SchemaMismatch, match=r"^the database is empty; run: portal upgrade$"):
        schema.require_known(_engine(empty_app))


def test_a_newer_schema_is_refused_with_the_way_out_and_left_alone(own_app: Flask) -> None:
    engine = _engine(own_app)
    _say_that_it_is_at(engine, "9999")
    hint = (
        f"^the database is at schema 9999, newer than {schema.NEWEST}, the newest that this version knows; "
        "install the newer version of the portal, or restore a backup$"
    )

    with pytest.raises(schema.SchemaMismatch, match=hint):
        schema.require_known(engine)
    with pytest.raises(schema.SchemaMismatch, match=hint):
        schema.upgrade(own_app)
    ready = own_app.test_client().get("/readyz")

    assert schema.current(engine) == "9999"
    assert ready.status_code == 503
    assert "newer than" in ready.text


def test_an_older_schema_is_refused_with_the_way_out(own_app: Flask) -> None:
    _say_that_it_is_at(_engine(own_app), "0000")

    with pytest.raises(schema.SchemaMismatch, match=r"older than \d{4}; run: portal upgrade$"):
        schema.require_known(_engine(own_app))


def test_every_file_of_the_instance_is_its_owners_alone(tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    former = os.umask(0)
    try:
        app = create_app(load_config({"PORTAL_INSTANCE": str(instance)}))
        schema.upgrade(app)
        with app.app_context(), db.engine.connect() as connection:
            connection.execute(text("select 1"))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in instance.iterdir()}
            connection.close()
            db.engine.dispose()
    finally:
        os.umask(former)

    database = {f"portal.sqlite3{ending}" for ending in ("", "-shm", "-turn", "-turn-next", "-wal")}
    assert set(modes) == {*database, "secret.key", "upgrade.lock"}
    assert set(modes.values()) == {0o600}


def test_the_next_version_keeps_a_copy_of_an_sqlite_database_before_it_upgrades(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    path = tmp_path / "portal.sqlite3"
    shutil.copy(migrated_sqlite, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("insert into setup (id) values (1)")
        connection.commit()

    upgrade = begin_upgrade(next_version(tmp_path), environment(f"sqlite:///{path}", tmp_path))
    output, errors = upgrade.communicate(timeout=60)

    assert (upgrade.returncode, errors) == (0, "")
    assert output.startswith(f"The database was brought from {schema.NEWEST} to schema {NEXT}.\n")
    copy = tmp_path / f"portal.sqlite3.before-{NEXT}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert _sqlite_state(copy) == (schema.NEWEST, False, 1)
    assert _sqlite_state(path) == (NEXT, True, 1)


def test_an_upgrade_that_fails_leaves_everything_as_it_was(
    own_app: Flask, empty_environ: Mapping[str, str], tmp_path: Path
) -> None:
    broken = next_version(tmp_path, last_statement="select nothing from message")
    before = _tables(_engine(own_app))

    upgrade = begin_upgrade(broken, empty_environ)
    output, errors = upgrade.communicate(timeout=60)

    assert (upgrade.returncode, output) == (1, "")
    assert re.fullmatch(r"Error: the database cannot be used: .*nothing.*\n", errors)
    assert schema.require_known(_engine(own_app)) == schema.NEWEST
    assert _tables(_engine(own_app)) == before


def test_of_two_upgrades_at_once_one_does_the_work_and_both_succeed(
    own_app: Flask, empty_environ: Mapping[str, str], tmp_path: Path
) -> None:
    version = next_version(tmp_path)

    upgrades = [begin_upgrade(version, empty_environ) for _ in range(2)]
    ended = [(*upgrade.communicate(timeout=60), upgrade.returncode) for upgrade in upgrades]

    assert [(errors, status) for _, errors, status in ended] == [("", 0), ("", 0)]
    assert sorted(output.splitlines()[0] for output, _, _ in ended) == [
        f"The database is at schema {NEXT} already.",
        f"The database was brought from {schema.NEWEST} to schema {NEXT}.",
    ]
    assert schema.current(_engine(own_app)) == NEXT


def _engine(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


def _say_that_it_is_at(engine: Engine, revision: str) -> None:
    with writing(engine).begin() as connection:
        connection.execute(text("update alembic_version set version_num = :revision"), {"revision": revision})


def _tables(engine: Engine) -> dict[str, Any]:
    """What the database says of its tables, in an order of its own."""
    found = inspect(engine)
    return {
        name: {
            "columns": sorted(_plain(column) for column in found.get_columns(name)),  # added ones come last
            "key": _plain(found.get_pk_constraint(name)),
            "references": sorted(map(_plain, found.get_foreign_keys(name))),
            "unique": sorted(map(_plain, found.get_unique_constraints(name))),
            "checks": sorted(map(_plain, found.get_check_constraints(name))),
            "indexes": sorted(map(_plain, found.get_indexes(name))),
        }
        for name in found.get_table_names()
    }


def _plain(value: Any) -> str:
    """Types and conditions are objects that are never equal; what they say is."""
    if isinstance(value, Mapping):
        return str(sorted((key, _plain(one)) for key, one in value.items()))
    return str(value)


def _sqlite_state(path: Path) -> tuple[str, bool, int]:
    """The revision, whether the next version's table is there, and how many rows were kept."""
    with closing(sqlite3.connect(path)) as connection:
        revision = connection.execute("select version_num from alembic_version").fetchone()[0]
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        (kept,) = connection.execute("select count(*) from setup").fetchone()
    return revision, "thing_of_the_next_version" in tables, kept
