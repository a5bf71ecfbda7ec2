"""Inviting many: a list is read, looked at, confirmed, and worked off by the worker line by line."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal.accounts import bulk_invitations, import_lines, import_work
from portal.accounts.import_lines import Line, UnreadableList, read_lines, read_text
from portal.accounts.import_models import ImportLine, ImportRun
from portal.accounts.models import User
from portal.email_settings import EmailSettings
from portal.email_settings import save as save_settings
from portal.extensions import db
from portal.outbox.models import Delivery, Message
from portal.outbox.prepared import Priority
from portal.transaction import unit_of_work
from tests.accounts.browsing import OTHER_PASSWORD, submit
from tests.accounts.people_at_work import Mailed, actions_about, actor_of, give_a_way_out, person, user_with
from tests.admin_browser import Browser

NOW = datetime.now(UTC)


@pytest.fixture
def admin(app: Flask) -> Browser:
    return Browser(app, "admin")


@pytest.fixture
def mailed(app: Flask) -> Mailed:
    give_a_way_out(app)
    return Mailed(app)


def give(admin: Browser, text: str, **fields: str) -> TestResponse:
    return admin.post("/users/import", {"list_text": text, "role": "user", "language": "en", **fields})


def confirm(admin: Browser, given: TestResponse) -> TestResponse:
    return admin.post(f"{given.headers['Location']}/confirmation", {}, page=given.headers["Location"])


def work(app: Flask) -> int:
    with app.app_context():
        return import_work.invite_listed_people(
            NOW,
            mail=app.extensions["account_mail"],
            mail_state=app.extensions["mail_state"],
            link_for=lambda token: f"http://localhost/invitations/{token}",
        )


def states(app: Flask) -> dict[str, str]:
    with app.app_context():
        rows = db.session.execute(select(ImportLine.email, ImportLine.state))
        return {row.email: row.state for row in rows}


def report(admin: Browser, given: TestResponse) -> list[list[str]]:
    answer = admin.get(f"{given.headers['Location']}/report")
    assert answer.content_type == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada@contoso.test", [Line(1, "ada@contoso.test")]),
        (
            "\ufeffada@contoso.test\r\n\r\ngrace@contoso.test,\r\n",
            [Line(1, "ada@contoso.test"), Line(3, "grace@contoso.test")],
        ),
        ('"Ada, Countess" <ada@contoso.test>;', [Line(1, "ada@contoso.test", "Ada, Countess")]),
        ("nobody", [Line(1, "nobody")]),
        ("name,address\nAda,ada@contoso.test", [Line(2, "ada@contoso.test", "Ada")]),
        ("Email;Role\nada@contoso.test;admin\n;\n", [Line(2, "ada@contoso.test", role="admin")]),
        ("E-mail address\tUser name\nada@contoso.test\tada", [Line(2, "ada@contoso.test", user_name="ada")]),
        ('address,name\nada@contoso.test,"Love, Ada"', [Line(2, "ada@contoso.test", "Love, Ada")]),
        ("address,name\nAda <ada@contoso.test>,", [Line(2, "ada@contoso.test", "Ada")]),
        ("address,name\nada@contoso.test,Ada,too,many", [Line(2, "ada@contoso.test", "Ada")]),
    ],
)
def test_a_list_is_read_as_people_have_it(text: str, expected: list[Line]) -> None:
    assert read_lines(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "There is nobody in this list."),
        (" \n\t\n", "There is nobody in this list."),
        ("address,name", "There is nobody in this list."),
        ("address,shoe size\na@b.test,42", "There is no column “shoe size”."),
        ("address,email\na@b.test,a@b.test", "A column stands in the header twice."),
        ("a@b.test\n" * 5001, "The list has 5001 lines; at most 5000 are taken."),
        ("ä" * 600_000, "The list is larger than 1 MB."),
        ('address,name\na@b.test,"' + "x" * 200_000, "Line 2 cannot be read"),
    ],
)
def test_what_is_no_list_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(UnreadableList) as refusal:
        read_lines(text)

    assert str(refusal.value).startswith(reason)


def test_a_file_in_another_encoding_is_refused() -> None:
    assert read_text("\ufeffJürgen".encode()) == "Jürgen"
    for content in ("Jürgen".encode("utf-16"), "Jürgen".encode("latin-1"), b"a" * (import_lines.LARGEST + 1)):
        with pytest.raises(UnreadableList):
            read_text(content)


def test_a_list_is_looked_at_before_anybody_is_added(app: Flask, admin: Browser, mailed: Mailed) -> None:
    person(app)

    given = give(
        admin,
        "address,name,role\nada@x.test,Ada,\ngrace@contoso.test,Grace,\neve,Eve,\nbob@x.test,Bob,king\nADA@x.test,,\n",
    )
    page = admin.get(given.headers["Location"]).get_data(as_text=True)

    assert states(app) == {
        "ada@x.test": "waiting",
        "grace@contoso.test": "known",
        "eve": "refused",
        "bob@x.test": "refused",
        "ADA@x.test": "refused",
    }
    for said in (
        "5 lines",
        "There is an account with this address already.",
        "An address contains an @",
        "There is no role “king”",
        "This address stands in the list twice.",
        "Invite 1 person",
    ):
        assert said in page
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(User)) == 2
    assert work(app) == 0


def test_a_language_that_there_is_not_is_refused(app: Flask, admin: Browser, mailed: Mailed) -> None:
    give(admin, "address,language\nada@x.test,tlh\nbob@x.test,DE")

    assert states(app) == {"ada@x.test": "refused", "bob@x.test": "waiting"}


def test_a_file_is_taken_as_a_pasted_list_is(app: Flask, admin: Browser, mailed: Mailed) -> None:
    file = (io.BytesIO("\ufeffaddress;name\nada@x.test;Jürgen\n".encode()), "people.csv")

    given = give(admin, "", list_file=file)  # type: ignore[arg-type]

    assert given.status_code == 303
    assert states(app) == {"ada@x.test": "waiting"}


def test_a_confirmed_list_is_worked_off_and_reported_line_by_line(app: Flask, admin: Browser, mailed: Mailed) -> None:
    given = give(
        admin, "address,name,role,user_name,language\nada@x.test,Ada,helpdesk,ada,de\nbob@x.test,=1+1,,,\nnobody,,,,"
    )

    confirm(admin, given)
    under_way = admin.get(given.headers["Location"], headers={"HX-Request": "true"}).get_data(as_text=True)
    worked = work(app)
    done = admin.get(given.headers["Location"], headers={"HX-Request": "true"}).get_data(as_text=True)

    ada = user_with(app, "ada@x.test")
    assert worked == 2
    assert "1 of 3 lines are done" in under_way
    assert "hx-get" in under_way
    assert "All 3 lines are done" in done
    assert "hx-get" not in done
    assert (ada.name, ada.role, ada.user_name, ada.language) == ("Ada", "helpdesk", "ada", "de")
    assert mailed.kinds == [("invitation", "ada@x.test"), ("invitation", "bob@x.test")]
    assert mailed.values[0][2]["invited_by"] == "Admin Ada"
    assert actions_about(app, "ada@x.test") == ["user.added", "user.invited"]
    assert report(admin, given) == [
        ["Line", "Address", "Name", "Role", "Result", "Reason"],
        ["2", "ada@x.test", "Ada", "helpdesk", "Invited", ""],
        ["3", "bob@x.test", "'=1+1", "user", "Invited", ""],
        ["4", "nobody", "", "user", "Not invited", "An address contains an @, as in name@contoso.test."],
    ]
    chosen = submit(app.test_client(), mailed.link_to("ada@x.test"), {"password": OTHER_PASSWORD})
    assert chosen.status_code == 303


def test_many_invitations_give_way_to_other_mail(app: Flask, admin: Browser, mailed: Mailed) -> None:
    confirm(admin, give(admin, "ada@x.test"))
    work(app)

    with app.app_context():
        message = db.session.scalars(select(Message)).one()
        priority = db.session.scalars(select(Delivery.priority)).one()
    assert (message.kind, message.is_secret) == ("invitation", True)
    assert priority == Priority.BULK


def test_a_list_is_confirmed_once_and_nobody_is_invited_twice(app: Flask, admin: Browser, mailed: Mailed) -> None:
    given = give(admin, "ada@x.test\nbob@x.test")

    for _ in range(2):
        confirm(admin, given)
    for _ in range(3):
        work(app)

    assert len(mailed.values) == 2
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Message)) == 2


def test_a_worker_that_dies_within_a_line_leaves_that_line_whole(
    app: Flask, admin: Browser, mailed: Mailed, engine: Engine
) -> None:
    confirm(admin, give(admin, "ada@x.test\nbob@x.test"))
    wired, died = app.extensions["mail_state"], []

    def dies_at_the_second_line(session: object) -> object:
        died.append(1)
        if len(died) == 2:
            raise KeyboardInterrupt
        return wired(session)

    app.extensions["mail_state"] = dies_at_the_second_line
    with pytest.raises(KeyboardInterrupt):
        work(app)
    after_death = states(app)
    app.extensions["mail_state"] = wired
    work(app)

    assert after_death == {"ada@x.test": "invited", "bob@x.test": "waiting"}
    assert states(app) == {"ada@x.test": "invited", "bob@x.test": "invited"}
    assert [address for _, address in mailed.kinds] == ["ada@x.test", "bob@x.test"]
    assert not bulk_invitations.has_waiting(engine)


def test_while_no_mail_can_leave_a_list_waits(app: Flask, admin: Browser, mailed: Mailed) -> None:
    given = give(admin, "ada@x.test")
    confirm(admin, given)
    _switch_sending(app, admin, enabled=False)

    worked = work(app)
    page = admin.get(given.headers["Location"]).get_data(as_text=True)
    refused = confirm(admin, give(admin, "bob@x.test"))
    _switch_sending(app, admin, enabled=True)
    work(app)

    assert worked == 0
    assert "Sending is switched off." in page
    assert "The rest of the list waits until then." in page
    assert refused.status_code == 409
    assert states(app) == {"ada@x.test": "invited", "bob@x.test": "waiting"}


def test_somebody_who_was_added_meanwhile_is_left_alone(app: Flask, admin: Browser, mailed: Mailed) -> None:
    confirm(admin, give(admin, "grace@contoso.test"))
    person(app)

    work(app)

    assert states(app) == {"grace@contoso.test": "known"}
    assert mailed.values == []


def test_a_list_of_somebody_who_is_no_administrator_any_more_adds_nobody(
    app: Flask, admin: Browser, mailed: Mailed
) -> None:
    other = Browser(app, "admin")
    given = give(other, "ada@x.test")
    confirm(other, given)
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.id == other.user_id).values(role="user"))

    work(app)

    assert states(app) == {"ada@x.test": "refused"}
    assert report(admin, given)[1][5] == "Whoever confirmed the list is no administrator any more."


def test_lists_are_removed_in_time(app: Flask, admin: Browser, mailed: Mailed) -> None:
    give(admin, "ada@x.test")
    confirm(admin, give(admin, "bob@x.test"))
    work(app)
    left = []

    for later in (timedelta(hours=23), timedelta(hours=25), timedelta(days=31)):
        with app.app_context(), unit_of_work() as session:
            bulk_invitations.purge(session, now=datetime.now(UTC) + later)
            left.append(session.scalar(select(func.count()).select_from(ImportRun)))

    assert left == [2, 1, 0]
    assert states(app) == {}


def test_a_list_is_for_administrators_alone(app: Flask, admin: Browser, mailed: Mailed) -> None:
    given = give(admin, "ada@x.test").headers["Location"]
    helpdesk = Browser(app, "helpdesk")

    answers = [helpdesk.get(path).status_code for path in ("/users/import", given, f"{given}/report")]
    answers.append(helpdesk.post(f"{given}/confirmation", {}, page="/users").status_code)

    assert answers == [403] * 4
    assert states(app) == {"ada@x.test": "waiting"}


def _switch_sending(app: Flask, admin: Browser, *, enabled: bool) -> None:
    with app.app_context(), unit_of_work() as session:
        save_settings(session, EmailSettings(enabled=enabled), actor=actor_of(admin), now=NOW)
