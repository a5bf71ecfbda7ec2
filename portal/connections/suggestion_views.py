"""What the sender's address tells about the way out: "looks like Google Workspace". Nothing that was typed changes."""

from __future__ import annotations

from flask import Response, request

from portal.connections import labels
from portal.connections.discovery import suite_of
from portal.web import render
from portal.web.access import admin_required

_LONGEST = 400  # of an address with a name


@admin_required
def suggest() -> Response:
    """The method that fits an address, as a part of the form or as a page of its own."""
    address = (request.args.get("address") or request.args.get("from_address") or "").strip()[:_LONGEST]
    return render(
        "connections/suggestion.html",
        fragment="connections/_suggestion.html",
        address=address,
        suggested=suite_of(address) if address else None,
        suite_names=labels.SUITES,
    )
