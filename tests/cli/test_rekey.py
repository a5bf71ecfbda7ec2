"""`portal rekey`: every sealed value opens with the new key alone, whatever ran or was killed meanwhile."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal.connections.smtp_values import SMTPValues
from portal.connections.stored import all_connections
from portal.connections.values import Role
from portal.database import metadata
from portal.extensions import db
from portal.outbox.models import MessageBody, MessageBodyChunk
from portal.paths import PACKAGE
from portal.rekeying import SEALED, rekey
from portal.sealed_columns import count_unreadable
from portal.secret_box import KeyFile, SecretBox
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from tests.cli.conftest import Portal
from tests.conftest import environment
from tests.connections.making import PASSWORD, create, engine_of, queue_mail, smtp_values
from tests.furnished import ENVIRONMENT, KEY, FurnishedPortal
from tests.outside.smtp_server import SMTPServer
from tests.supervisor.groups import until

NEW = "the new key of the furnished portal 42"
_SEALED = re.compile(r"v1\.([0-9a-f]{8})\.[\w-]{16}\.[\w-]{22,}")


def sealed_in(engine: Engine) -> dict[str, set[str]]:
    """The ids of the keys of whatever looks sealed, by table and column, wherever it stands."""
    found: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for name, value in row._mapping.items():
                    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    if ids := set(_SEALED.findall(text)):
                        found.setdefault(f"{table.name}.{name}", set()).update(ids)
    return found


@pytest.fixture
def old(furnished_portal: FurnishedPortal) -> Flask:
    """A furnished portal with something sealed in as many places as there are."""
    queue_mail(furnished_portal.app, "password_reset")
    return furnished_portal.app


def rekeyed(app: Flask, *keys: str) -> Any:
    with app.app_context():
        return rekey(SecretBox(keys), on_progress=lambda _table, _rows: None)


def test_afterwards_everything_opens_with_the_new_key_alone(old: Flask) -> None:
    engine = engine_of(old)
    places = set(sealed_in(engine))

    came = rekeyed(old, NEW, KEY)

    new_id = SecretBox([NEW]).key_id
    assert (came.unreadable, came.remaining) == (0, 0)
    assert sealed_in(engine) == {place: {new_id} for place in places}
    with old.app_context(), unit_of_work() as session:
        box = SecretBox([NEW])
        assert {sealed.table.name: count_unreadable(session, sealed, box=box) for sealed in SEALED} == dict.fromkeys(
            (sealed.table.name for sealed in SEALED), 0
        )
        secrets = [kept for one in all_connections(session, box=box) for kept in one.secrets.values()]
        assert {kept.is_readable for kept in secrets} == {True}


def test_a_second_run_has_nothing_to_do(old: Flask) -> None:
    rekeyed(old, NEW, KEY)

    assert rekeyed(old, NEW, KEY).resealed == 0


def test_the_registry_names_every_place_where_something_is_sealed(old: Flask) -> None:
    registered = {f"{sealed.table.name}.{column}" for sealed in SEALED for column in sealed.columns}

    assert set(sealed_in(engine_of(old))) - registered == set()
    named = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name.startswith("sealed") and column.name != "sealed_hash"
    }
    assert named - registered == set()


def test_every_module_that_seals_is_known_to_the_registry() -> None:
    """Whoever seals somewhere else must say there how it is sealed anew."""
    sealing = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "seal"
        and "box" in ast.unparse(node.func.value)
    }

    assert sealing - {"sealed_columns.py", "readiness.py"} == {
        "accounts/provider_settings.py",
        "accounts/provider_sign_ins.py",
        "accounts/totp.py",
        "connections/candidates.py",
        "connections/consent_flows.py",
        "connections/device_codes.py",
        "connections/grant_rows.py",
        "connections/grants.py",
        "connections/secrets.py",
        "outbox/bodies.py",
        "servers/log_ins.py",
        "servers/webhooks.py",
    }


def test_what_no_key_opens_stays_and_is_counted(old: Flask) -> None:
    before = sealed_in(engine_of(old))

    came = rekeyed(old, NEW)  # the former key is not given

    assert (came.resealed, came.remaining) == (0, 0)
    assert came.unreadable > 3
    assert sealed_in(engine_of(old)) == before


KILLED = """
import os, signal, sys
from portal import create_app
from portal.config import load_config
from portal.rekeying import rekey

def end(table, rows):
    if table == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

app = create_app(load_config())
with app.app_context():
    rekey(app.extensions["secret_box"], on_progress=end)
"""


@pytest.mark.parametrize("table", ["connection_secret", "authenticator_app"])
def test_a_killed_run_leaves_everything_readable_and_goes_on_where_it_ended(
    old: Flask, tmp_path: Path, table: str
) -> None:
    variables = environment(f"sqlite:///{tmp_path / 'portal.sqlite3'}", tmp_path) | ENVIRONMENT
    variables["PORTAL_SECRET_KEY"] = f"{NEW},{KEY}"

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, table], env=os.environ | variables, capture_output=True, check=False
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    ids = {key_id for found in sealed_in(engine_of(old)).values() for key_id in found}
    assert ids == {SecretBox([NEW]).key_id, SecretBox([KEY]).key_id}
    with old.app_context(), unit_of_work() as session:
        box = SecretBox([NEW, KEY])
        assert sum(count_unreadable(session, sealed, box=box) for sealed in SEALED) == 0
    assert rekeyed(old, NEW, KEY).remaining == 0
    assert {key_id for found in sealed_in(engine_of(old)).values() for key_id in found} == {SecretBox([NEW]).key_id}


def test_a_new_key_in_the_instance_folder_takes_the_place_of_the_old_one_while_all_runs(
    portal: Portal, app: Flask, tmp_path: Path
) -> None:
    """`app` stands for the parts that run meanwhile: they are not told, and read and seal all the same."""
    queue_mail(app, "password_reset")
    old_key = (tmp_path / "secret.key").read_text()

    done = portal("rekey", "--new-key")

    assert done.stdout.splitlines()[0] == "Values sealed anew: 1"
    [key] = KeyFile(tmp_path).keys()
    assert key != old_key.strip()
    queue_mail(app, "password_reset")
    assert sealed_in(engine_of(app)) == {"message_body.content": {SecretBox([key]).key_id}}
    assert count(app, SecretBox([key])) == 0


KILLED_WITH_A_NEW_KEY = """
import os, signal, sys
from portal import create_app
from portal.config import load_config
from portal.rekeying import begin_new_key, rekey
from portal.secret_box import KeyFile

def end(table, rows):
    if table == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

config = load_config()
begin_new_key(KeyFile(config.instance))
app = create_app(config)
with app.app_context():
    rekey(app.extensions["secret_box"], on_progress=end)
"""


@pytest.mark.parametrize("table", ["connection_secret", "message_body"])
def test_a_worker_sends_on_after_a_run_was_killed_and_while_it_is_gone_on_with(
    portal: Portal, app: Flask, tmp_path: Path, request: pytest.FixtureRequest, table: str
) -> None:
    with SMTPServer(accounts={"relay": PASSWORD}) as server:
        smtp = SMTPValues(host=server.host, port=server.port, security=Security.NONE, username="relay")
        create(app, smtp_values(smtp=smtp, role=Role.DEFAULT))
        queue_some(app)

        killed = subprocess.run(
            [sys.executable, "-c", KILLED_WITH_A_NEW_KEY, table], capture_output=True, check=False, env=os.environ
        )
        keys_amid = KeyFile(tmp_path).keys()
        request.getfixturevalue("worker")
        queue_some(app)
        until(lambda: len(server.messages) == 2 * SOME, 30)
        queue_some(app)
        done = portal("rekey", "--new-key")
        until(lambda: len(server.messages) == 3 * SOME, 30)

    assert (killed.returncode, len(keys_amid)) == (-signal.SIGKILL, 2), killed.stderr
    assert (done.exit_code, KeyFile(tmp_path).keys()) == (0, keys_amid[:1]), done.output
    assert all(b"reset-password/canary" in message.content for message in server.messages)
    assert count(app, SecretBox(keys_amid[:1])) == 0


SOME = 3


def queue_some(app: Flask) -> None:
    for _ in range(SOME):
        queue_mail(app, "password_reset")


def test_an_unfinished_new_key_is_gone_on_with(portal: Portal, app: Flask, tmp_path: Path) -> None:
    queue_mail(app, "password_reset")
    [old_key] = KeyFile(tmp_path).keys()
    KeyFile(tmp_path).replace([NEW, old_key])  # it was killed right after the key was made

    portal("rekey", "--new-key")

    assert KeyFile(tmp_path).keys() == (NEW,)
    assert count(app, SecretBox([NEW])) == 0


def test_with_keys_in_the_environment_the_command_says_when_the_old_one_may_go(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", f"{NEW},{KEY}")

    assert portal("rekey", "--new-key").stderr.startswith("Error: --new-key is for the key in the instance folder")
    assert portal("rekey").stdout.splitlines()[-1] == (
        "The former keys may go from PORTAL_SECRET_KEY; restart every part then."
    )


def test_large_secret_contents_in_pieces_are_sealed_anew_as_one(portal: Portal, app: Flask, tmp_path: Path) -> None:
    queue_mail(app, "password_reset")
    with app.app_context(), unit_of_work() as session:
        body = session.scalars(select(MessageBody)).one()
        for number, start in enumerate(range(0, len(body.content), 100)):
            session.add(
                MessageBodyChunk(message_id=body.message_id, number=number, content=body.content[start : start + 100])
            )
        body.content = b""

    portal("rekey", "--new-key")

    assert count(app, SecretBox(KeyFile(tmp_path).keys())) == 0
    with app.app_context():
        assert not list(db.session.scalars(select(MessageBodyChunk)))


def count(app: Flask, box: SecretBox) -> int:
    """How many values the box does not open."""
    with app.app_context(), unit_of_work() as session:
        return sum(count_unreadable(session, sealed, box=box) for sealed in SEALED)


def test_secrets_that_a_missing_variable_keeps_closed_stop_the_command_before_it_begins(
    portal: Portal, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, key = tmp_path / "settings.yaml", Path(environ["PORTAL_INSTANCE"]) / "secret.key"
    file.write_text(
        "connections: [{name: Main, method: smtp, role: draft, host: '%env:MAIL_HOST%', port: 587, auth: password,\n"
        "  username: ada, password: canary, from_address: portal@contoso.test}]\n"
    )
    monkeypatch.setenv("MAIL_HOST", "mail.contoso.test")
    assert portal("settings", "apply", str(file)).exit_code == 0
    before = key.read_bytes()
    monkeypatch.delenv("MAIL_HOST")

    refused = portal("rekey", "--new-key")

    assert refused.exit_code == 1
    assert "Connection Main: host: %env:MAIL_HOST% stands for nothing" in refused.output
    assert key.read_bytes() == before
    monkeypatch.setenv("MAIL_HOST", "mail.contoso.test")
    done = portal("rekey", "--new-key")
    assert done.exit_code == 0
    assert "no key opens" not in done.output
    assert key.read_bytes() != before
