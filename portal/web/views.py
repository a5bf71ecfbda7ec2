"""The one page action that belongs to no other room: choosing the theme."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request

from portal.web.access import public
from portal.web.local_paths import safe_next
from portal.web.rendering import see_other
from portal.web.theme import THEMES, remember

blueprint = Blueprint("web", __name__)


@blueprint.post("/theme")
@public
def set_theme() -> Response:
    theme = request.form.get("theme", "")
    if theme not in THEMES:
        abort(400)
    return remember(see_other(safe_next(request.form.get("next"))), theme)
