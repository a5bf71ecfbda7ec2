"""The page `/audit-log` and its exports. Entries are only shown: nothing here changes or removes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import Row

from portal import audit
from portal.audit import entries, exports, sealing
from portal.audit.forms import AuditFilterForm
from portal.audit.known_words import by_whom, starting_actor
from portal.audit.showing import shown
from portal.extensions import db, handed_down
from portal.transaction import unit_of_work
from portal.web import render
from portal.web.access import admin_required, current_actor
from portal.web.translation import translate

blueprint = Blueprint("audit", __name__)
# Both of a name that is kept with a row: the one starts a sentence, the other stands after a verb.
blueprint.add_app_template_filter(lambda name: translate(starting_actor(name)), "actor")
blueprint.add_app_template_filter(lambda name: translate(by_whom(name)), "by_whom")
SUBJECT = "audit log"
Lines = Callable[[Iterable[Row[Any]]], Iterator[bytes]]


@blueprint.get("/audit-log")
@admin_required
def show() -> Response:
    """The newest entries, narrowed by the filter, a page at a time."""
    form = AuditFilterForm(request.args)
    if not form.validate():
        return _page(form, entries.Page((), None), status=422)
    before = request.args.get("before", type=int)
    return _page(form, entries.page(db.session(), form.wanted(), before=before))


@blueprint.post("/audit-log.csv")
@admin_required
def export_csv() -> Response:
    """A file for spreadsheets."""
    return _export(exports.csv_lines, "csv", "text/csv; charset=utf-8")


@blueprint.post("/audit-log.json")
@admin_required
def export_json() -> Response:
    """A file from which the chain can be verified."""
    return _export(exports.json_lines, "json", "application/json")


def _export(lines: Lines, extension: str, content_type: str) -> Response:
    """The filtered entries before this export, whose own entry is written first: so it is no GET."""
    form, now = AuditFilterForm(), datetime.now(UTC)
    if not form.validate():
        return _page(form, entries.Page((), None), status=422)
    with unit_of_work() as session:
        last = entries.last_id(session)
        noted = {name: (None, value) for name, value in {"format": extension, **form.given()}.items()}
        audit.record(
            session, action="audit_log.exported", actor=current_actor(), subject=SUBJECT, changes=noted, now=now
        )
    answer = Response(lines(entries.all_of(db.engine, form.wanted(), last=last)), content_type=content_type)
    answer.headers["Content-Disposition"] = f"attachment; filename=audit-log-{now:%Y-%m-%d}.{extension}"
    return answer


def _page(form: AuditFilterForm, page: entries.Page, status: int = 200) -> Response:
    session = db.session()
    form.offer(entries.actions(session))
    return render(
        "audit/show.html",
        status=status,
        form=form,
        entries=[shown(entry, handed_down("kind_in_words")) for entry in page.entries],
        next_before=page.next_before,
        is_first=not request.args.get("before"),
        seal=sealing.newest_seal(session),
    )
