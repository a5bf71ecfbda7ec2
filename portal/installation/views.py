"""The page `/installation`: whether this installation's mail may leave, and letting it."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, flash
from flask_babel import gettext as _

from portal.extensions import config, db
from portal.installation.forms import RedirectionForm
from portal.installation.holding import judge, release
from portal.outbox import history
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor

blueprint = Blueprint("installation", __name__)


@blueprint.get("/installation")
@admin_required
def show() -> Response:
    """Why sending is held or where mail goes, and what can be done."""
    return _page(RedirectionForm(formdata=None))


@blueprint.post("/installation/release")
@admin_required
@confirm_password()
def release_all() -> Response:
    """Let mail go to its recipients."""
    return _release("")


@blueprint.post("/installation/redirection")
@admin_required
@confirm_password()
def redirect_all() -> Response:
    """Let mail go, all of it to one address."""
    form = RedirectionForm()
    return _release(form.redirect_to.value()) if form.validate_on_submit() else _page(form, status=422)


def _release(redirect_to: str) -> Response:
    with unit_of_work() as session:
        now = datetime.now(UTC)
        _before, is_changed = release(session, config, redirect_to=redirect_to, actor=current_actor(), now=now)
    if not is_changed:
        flash(_("Nothing was changed: mail is not held, or goes there already."), "info")
    elif redirect_to:
        flash(_("All mail now goes to %(address)s.", address=redirect_to), "ok")
    else:
        flash(_("Mail leaves to its recipients again."), "ok")
    return see_other("installation.show")


def _page(form: RedirectionForm, status: int = 200) -> Response:
    return render(
        "installation/show.html",
        status=status,
        form=form,
        standing=judge(db.session(), config),
        waiting=history.waiting_count(db.session()),
        public_url=config.public_url,
    )
