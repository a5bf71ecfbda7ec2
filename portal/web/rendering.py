"""Page or fragment, and where to go after a POST. The only reader of htmx's request headers besides errors.

htmx 4 sends `HX-Request: true` with every request, `HX-Boosted` where it stands in for a plain link and
`HX-History-Restore-Request` where it fetches a whole page again for the Back button.
"""

from __future__ import annotations

from typing import Any

from flask import Response, get_flashed_messages, make_response, redirect, render_template, request, url_for


def render(page: str, *, fragment: str | None = None, status: int = 200, **context: Any) -> Response:
    """The page, or only its fragment where htmx asked for one, with the notices out of band.

    `page` and `fragment` are template names; the page includes the fragment. A page that has no fragment and is
    asked for by htmx (the end of a 303) is answered with `HX-Redirect`, so that the browser goes there.
    """
    if not wants_fragment():
        return _varied(make_response(render_template(page, **context), status))
    if fragment is not None:
        content = render_template(fragment, **context)
        return _varied(make_response(content + _notices(), status))
    if request.method == "GET" and status < 400:
        response = make_response("", 200)
        response.headers["HX-Redirect"] = request.full_path.removesuffix("?")
        return _varied(response)
    response = make_response(render_template(page, **context), status)
    response.headers["HX-Retarget"] = "body"
    response.headers["HX-Reswap"] = "outerHTML"
    return _varied(response)


def see_other(endpoint_or_path: str, **values: Any) -> Response:
    """303: after a POST the browser fetches a GET page, with and without htmx (RFC 9110 15.4.4).

    Takes an endpoint with its values, or a local path that starts with a slash.
    """
    is_path = endpoint_or_path.startswith("/")
    target = endpoint_or_path if is_path else url_for(endpoint_or_path, **values)
    return make_response(redirect(target, 303))


def wants_fragment() -> bool:
    """Whether htmx asked for a part of a page: not a boosted link, not the Back button."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and "HX-Boosted" not in headers
        and "HX-History-Restore-Request" not in headers
    )


def _notices() -> str:
    """The notices' region, unless a mere poll has nothing to say: that would wipe away what stands there."""
    if request.method == "GET" and not get_flashed_messages():
        return ""
    return render_template("web/_notices.html", out_of_band=True)


def _varied(response: Response) -> Response:
    response.vary.add("HX-Request")
    return response
