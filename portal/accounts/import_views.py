"""Inviting many: give the list, look at it, confirm it, follow it to its end, take the report."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, make_response, request
from flask_babel import gettext as _

from portal import outbox
from portal.accounts import bulk_invitations, import_lines, people
from portal.accounts.browser_views import form_page
from portal.accounts.bulk_invitations import Run
from portal.accounts.import_lines import UnreadableList
from portal.accounts.user_forms import ImportForm
from portal.accounts.user_help import why_no_mail
from portal.accounts.user_views import mail_state
from portal.audit.exports import harmless
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor
from portal.web.translation import translate


@admin_required
@confirm_password()
def import_users() -> Response:
    """Give a list; nobody is added by it yet."""
    form, now = ImportForm(), datetime.now(UTC)
    if not form.validate_on_submit():
        return _form_page(form)
    try:
        lines = form.lines()
    except UnreadableList as unreadable:
        form.given.errors = [translate(unreadable.reason)]
        return _form_page(form)
    with unit_of_work() as work:
        role, language = form.role.data, form.language.data
        run_id = bulk_invitations.keep_draft(work, lines, role=role, language=language, actor=current_actor(), now=now)
    return see_other("accounts.import_run", run_id=run_id)


@admin_required
def import_run(run_id: UUID) -> Response:
    """The list: what would become of each line, how far it is, what became of each line."""
    return _run_page(_found(run_id))


@admin_required
@confirm_password()
def confirm_import(run_id: UUID) -> Response:
    """Invite whoever can be, unless no mail can leave."""
    run = _found(run_id)
    if run.is_draft and why_no_mail(mail_state()):
        return _run_page(run, status=409)
    with unit_of_work() as work:
        bulk_invitations.confirm(work, run_id, actor=current_actor(), now=datetime.now(UTC))
    return see_other("accounts.import_run", run_id=run_id)


@admin_required
def import_report(run_id: UUID) -> Response:
    """Every line with what became of it, as CSV that no program takes for formulas."""
    _found(run_id)
    response = make_response(_report(run_id))
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="invitations.csv"'
    return response


def _report(run_id: UUID) -> str:
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow([_("Line"), _("Address"), _("Name"), _("Role"), _("Result"), _("Reason")])
    for line in bulk_invitations.lines_of(db.session(), run_id, limit=import_lines.MOST_LINES):
        result, reason = translate(bulk_invitations.STATES[line.state]), translate(line.reason or "")
        rows.writerow([line.number, *map(harmless, (line.email, line.name, line.role, result, reason))])
    return "\ufeff" + table.getvalue()


def _form_page(form: ImportForm) -> Response:
    limits = {"most": import_lines.MOST_LINES, "columns": import_lines.COLUMNS}
    return form_page("accounts/users_import.html", form, why_no_mail=why_no_mail(mail_state()), **limits)


def _run_page(run: Run, *, status: int = 200) -> Response:
    after = request.args.get("after", 0, type=int)
    now = datetime.now(UTC)
    return render(
        "accounts/users_import_run.html",
        fragment="accounts/_users_import_run.html",
        status=status,
        run=run,
        lines=bulk_invitations.lines_of(db.session(), run.id, after=max(after, 0)),
        problems=bulk_invitations.lines_of(db.session(), run.id, states=("known", "refused"), limit=50),
        roles=people.ROLES,
        states=bulk_invitations.STATES,
        why_no_mail=why_no_mail(mail_state()),
        worker_seen_at=outbox.worker_seen_at(db.session()),
        now=now,
    )


def _found(run_id: UUID) -> Run:
    return bulk_invitations.find_run(db.session(), run_id) or abort(404)
