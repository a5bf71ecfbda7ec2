from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from portal.database import engine_options
from portal.servers.remembering import SharedMemory
from tests.servers import serving
from tests.servers.serving import NOW


def test_what_is_known_holds_for_a_second_and_until_somebody_changes_something(portal: Flask, engine: Engine) -> None:
    wiki = serving.server(portal)
    memory = SharedMemory()
    known = memory.of_engine(engine, NOW)

    soon = memory.of_engine(engine, NOW + timedelta(seconds=0.9))
    late = memory.of_engine(engine, NOW + timedelta(seconds=1))
    serving.change(portal, wiki, name="Wiki", is_enabled=False)
    changed = memory.of_engine(engine, NOW + timedelta(seconds=1.1))

    assert soon is known
    assert late is not known
    assert changed is not late


def test_a_session_and_the_driver_alone_read_the_same_news(portal: Flask, engine: Engine) -> None:
    serving.server(portal)
    memory = SharedMemory()

    by_driver = memory.of_engine(engine, NOW)

    assert serving.read(portal, lambda session: memory.of(session, NOW)) is by_driver


def test_a_connection_that_broke_while_it_waited_is_replaced(portal: Flask, engine: Engine) -> None:
    serving.server(portal)
    own = create_engine(engine.url, **engine_options(engine.url.drivername))
    kept = own.raw_connection()
    driver = kept.driver_connection
    kept.close()
    assert driver is not None
    driver.close()
    memory = SharedMemory()

    known = memory.of_engine(own, NOW)

    assert memory.of_engine(engine, NOW) is known
    own.dispose()


def test_a_database_that_lets_nobody_in_is_an_error_of_sqlalchemys(engine: Engine) -> None:
    def refuse(*_arguments: object) -> None:
        raise engine.dialect.loaded_dbapi.OperationalError("nobody is let in")

    own = create_engine(engine.url, **engine_options(engine.url.drivername))
    event.listen(own, "do_connect", refuse)

    with pytest.raises(OperationalError):
        SharedMemory().of_engine(own, NOW)
