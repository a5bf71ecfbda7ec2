"""Error pages: what happened, what to do, and the request's number, for a page and for htmx alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import Flask, Response, g, make_response, render_template
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, TooManyRequests

from portal.web.problems import asks_for_problems, of_http_error, problem_answer
from portal.web.rendering import wants_fragment
from portal.web.request_log import request_id
from portal.web.translation import readable_duration, translate
from portal.wording import N_, Text


@dataclass(frozen=True)
class Explanation:
    title: Text
    cause: Text
    remedy: Text


_EXPLANATIONS = {
    400: Explanation(
        N_("The request was not understood"),
        N_("What the browser sent is incomplete or malformed, so nothing was done with it."),
        N_("Go back, reload the page and try again."),
    ),
    403: Explanation(
        N_("This page is not open to you"),
        N_("Your role does not include this page."),
        N_("An administrator of this portal can change your role."),
    ),
    404: Explanation(
        N_("There is no such page"),
        N_("The address is misspelt, or what it named has been removed."),
        N_("Start again from the overview."),
    ),
    405: Explanation(
        N_("This address does not work that way"),
        N_("It takes a form that was sent, not a visit, or the other way round."),
        N_("Start again from the overview."),
    ),
    409: Explanation(
        N_("Somebody else changed this in the meantime"),
        N_("Saving now would overwrite that change, so nothing was saved."),
        N_("Go back, reload the page and make your change again."),
    ),
    413: Explanation(
        N_("That is more than the portal takes at once"),
        N_("What the browser sent is too large, so it was not read to its end."),
        N_("Send less, or a smaller file."),
    ),
    422: Explanation(
        N_("That cannot be done with these values"),
        N_("Something in the request does not fit together, so nothing was changed."),
        N_("Go back and check what was entered."),
    ),
    429: Explanation(
        N_("That was too often in a short time"),
        N_("The portal limits how often this can be done, to keep guessing and flooding out."),
        N_("Wait a little and try again."),
    ),
    500: Explanation(
        N_("Something went wrong in the portal"),
        N_("This is a fault of the portal, not yours. It has been recorded."),
        N_("Try again. If it happens again, give the request number below to an administrator."),
    ),
    503: Explanation(
        N_("The portal cannot do this right now"),
        N_("A part that it needs does not answer."),
        N_("Wait a minute and try again."),
    ),
}
_CSRF = Explanation(
    N_("This form could not be verified"),
    N_("The page was open across a sign-in or sign-out, or the browser blocks this portal's cookies."),
    N_("Go back, reload the page and send the form again. Nothing was changed."),
)


def init_app(app: Flask) -> None:
    """Answer every HTTP error and every uncaught exception with a page of ours."""
    app.register_error_handler(HTTPException, _answer)


def _answer(error: HTTPException) -> Response:
    if error.response is not None or (error.code or 500) < 400:
        return make_response(error.get_response())
    if asks_for_problems():
        return problem_answer(of_http_error(error))
    status = error.code or 500
    response = _shown(status, _explain(error, status))
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _explain(error: HTTPException, status: int) -> Explanation:
    if isinstance(error, CSRFError):
        return _CSRF
    if isinstance(error, TooManyRequests) and isinstance(error.retry_after, int):
        known = _EXPLANATIONS[429]
        wait = readable_duration(timedelta(seconds=max(1, error.retry_after)))
        return Explanation(known.title, known.cause, N_("Try again in %(wait)s.", wait=wait))
    nearest = 400 if status < 500 else 500
    return _EXPLANATIONS.get(status, _EXPLANATIONS[nearest])


def _shown(status: int, explanation: Explanation) -> Response:
    g.is_error_page = True
    if not wants_fragment():
        page = render_template("web/error.html", status=status, explanation=explanation, request_id=request_id())
        response = make_response(page, status)
        response.vary.add("HX-Request")
        return response
    sentences = (explanation.title, explanation.cause, explanation.remedy)
    title, cause, remedy = (translate(sentence) for sentence in sentences)
    error = {"title": title, "text": f"{cause} {remedy}", "request_id": request_id()}
    response = make_response(render_template("web/_notice_list.html", error=error), status)
    response.headers["HX-Retarget"] = "#notices"
    response.headers["HX-Reswap"] = "innerHTML"
    response.vary.add("HX-Request")
    return response
