"""From a request to what answers it, and back: scripts have their say, refusals get their shape."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import unquote
from uuid import uuid4

from tests.outside.microsoft_errors import GraphRefused, SignInRefused
from tests.outside.microsoft_graph import Doorkeeper
from tests.outside.microsoft_pages import error_page, page
from tests.outside.microsoft_scripts import GRAPH_STEPS, MAILBOX_STEPS, PAGE_STEPS, Call, MicrosoftScript, Route
from tests.outside.microsoft_tokens import Clock
from tests.outside.stand_in_http import Answer, Request, json_answer
from tests.outside.stand_in_scripts import Scripts


class Answering:
    def __init__(
        self,
        *,
        routes: Sequence[Route],
        scripts: Scripts,
        doorkeeper: Doorkeeper,
        changed: threading.Condition,
        stopped: threading.Event,
        login_url: str,
        clock: Clock,
        cuts_opener: bool,
    ) -> None:
        self._routes = routes
        self._scripts = scripts
        self._doorkeeper = doorkeeper
        self._changed = changed
        self._stopped = stopped
        self._login_url = login_url
        self._clock = clock
        self._cuts_opener = cuts_opener

    def respond(self, request: Request) -> Answer | None:
        """None where a script drops the connection."""
        route, call = self._found(request)
        with self._doorkeeper.room(call) as has_room:
            self._stopped.wait(call.script.delay)
            if call.script.drop == "before":
                return None
            answer = self._answer(route, call, has_room=has_room or route.step not in MAILBOX_STEPS)
        return None if call.script.drop == "after" else self._dressed(answer)

    def _found(self, request: Request) -> tuple[Route, Call]:
        path = unquote(request.path)
        for route in self._routes:
            match = route.path.fullmatch(path)
            if match and route.method == request.method:
                with self._changed:
                    script = self._scripts.take(route.step, request)
                # One that fits nothing is made by the scripts themselves, of the general kind.
                own = script if isinstance(script, MicrosoftScript) else MicrosoftScript(step=route.step)
                return route, Call(request, match.groupdict(), own)
        step = "users" if path.startswith("/graph/") else "other"
        return Route("", re.compile(""), step, _not_found), Call(request, {}, MicrosoftScript(step=step))

    def _answer(self, route: Route, call: Call, *, has_room: bool) -> Answer:
        try:
            answer = self._said(route.handle, call, has_room=has_room)
        except SignInRefused as refused:
            answer = self._refused_sign_in(refused, route, call)
        except GraphRefused as refused:
            answer = self._refused_by_graph(refused, call)
        return self._signed(answer, call) if route.step in GRAPH_STEPS else answer

    def _said(self, handle: Callable[[Call], Answer], call: Call, *, has_room: bool) -> Answer:
        form = call.request.form
        values = {"app": form.get("client_id") or call.request.query.get("client_id", ""), "tenant": call.tenant}
        refusal = call.script.refusal(values)
        if refusal is not None:
            raise refusal
        scripted = call.script.answer()
        if scripted is not None:
            return scripted
        if not has_room:
            raise GraphRefused(429, headers={"Retry-After": "10"})
        with self._changed:
            return call.script.changed(handle(call))

    def _refused_sign_in(self, refused: SignInRefused, route: Route, call: Call) -> Answer:
        correlation_id = call.request.headers["client-request-id"] or ""
        body = refused.body(login_url=self._login_url, now=self._clock(), correlation_id=correlation_id)
        if route.step in PAGE_STEPS:
            answer = error_page(refused, str(body["error_description"]))
        else:
            answer = json_answer(body, status=refused.status, headers={"x-ms-request-id": str(body["trace_id"])})
        return replace(answer, headers={**answer.headers, **call.script.headers})

    def _refused_by_graph(self, refused: GraphRefused, call: Call) -> Answer:
        request_id, client_request_id = str(uuid4()), call.request.headers["client-request-id"] or ""
        body = refused.body(now=self._clock(), request_id=request_id, client_request_id=client_request_id or request_id)
        return json_answer(body, status=refused.status, headers={**refused.headers, "request-id": request_id})

    def _signed(self, answer: Answer, call: Call) -> Answer:
        """Every answer of Graph says by which ids Microsoft's support finds it."""
        request_id = answer.headers.get("request-id", str(uuid4()))
        client_request_id = call.request.headers["client-request-id"] or request_id
        ids = {"request-id": request_id, "client-request-id": client_request_id}
        return replace(answer, headers={**answer.headers, **ids})

    def _dressed(self, answer: Answer) -> Answer:
        """Pages cut the tie to the window that opened them."""
        is_page = answer.headers.get("Content-Type", "").startswith("text/html")
        if not is_page or not self._cuts_opener:
            return answer
        return replace(answer, headers={**answer.headers, "Cross-Origin-Opener-Policy": "same-origin"})


def _not_found(call: Call) -> Answer:
    if call.script.step == "users":
        raise GraphRefused(404, "ResourceNotFound", "Resource could not be discovered.")
    return page("Page not found", "We can’t find that page", "<p>Check the address.</p>", status=404)
