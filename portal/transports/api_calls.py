"""Requests to a mail service's API: signed with an access token, and with a new one once when it is refused.

The point of no return is the first byte of the request's body: what is lost after it is uncertain. The token never
appears in what is raised or reported, and no redirect is followed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from portal.clock import utc_now
from portal.network.https import HTTPS, Answer, HTTPSError, Stopped
from portal.network.https_libraries import DEFAULT_MOST_OCTETS
from portal.transports import (
    Abandoned,
    AccessToken,
    OutgoingMessage,
    RecipientResult,
    Reply,
    SendReport,
    Step,
    TransientError,
    TransportError,
    Verdict,
)
from portal.transports.http_refusals import Problem, Rule, as_transport_error, read_problem, refusal

_SECONDS = 30.0
_SLOWEST_UPLOAD = 50_000  # octets a second
_LONGEST_SECONDS = 900.0
_GATEWAY_FAILED = frozenset({502, 504})


@dataclass(frozen=True, kw_only=True)
class APIRequest:
    """What is asked of the service. The token comes to the headers by itself, unless the address is the permission."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)
    params: Mapping[str, str] | None = None
    is_signed: bool = True
    most_octets: int = DEFAULT_MOST_OCTETS  # of the answer's content


class ReplyLost(Exception):
    """The request may have been handed over, and its answer did not come, or not whole."""

    def __init__(self, fault: HTTPSError) -> None:
        super().__init__(fault.seen)
        self.fault = fault


class APICalls:
    """Requests to one service for one connection; `rules` say what its refusals mean, the last fits everything."""

    def __init__(
        self,
        https: HTTPS,
        *,
        access_token: AccessToken,
        rules: tuple[Rule, ...],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._https = https
        self._access_token = access_token
        self._rules = rules
        self._clock = clock

    def send(
        self,
        message: OutgoingMessage,
        request: APIRequest,
        *,
        may_proceed: Callable[[], bool],
        accepted: Callable[[Answer], Reply | None],
    ) -> SendReport:
        """Make the request that sends a message. `accepted` gives the reply when an answer says that it was taken.

        Raises as `Transport.send` does. All recipients share one fate: these services answer once for all.
        """
        try:
            answer = self._ask(request, may_proceed)
        except ReplyLost as lost:
            return report(message, Verdict.UNCERTAIN, Reply(0, lost.fault.seen), "http.reply_lost")
        if isinstance(answer, Problem):
            if answer.status in _GATEWAY_FAILED:
                return report(message, Verdict.UNCERTAIN, answer.reply, "http.gateway_failed")
            raise self.error(answer)
        reply = accepted(answer)
        if reply is not None:
            return report(message, Verdict.SENT, reply)
        odd = Reply(answer.status, "an answer that says neither that the message was taken nor that it was not")
        if _is_web_page(answer):
            raise TransientError(Step.CONNECT, code="http.unexpected_answer", reply=odd)
        return report(message, Verdict.UNCERTAIN, odd, "http.reply_lost")

    def ask(self, request: APIRequest) -> Answer | Problem:
        """The answer to a request that sends nothing, or what an answer of 400 and more says.

        A 401 stands there only when a new token was refused, too. Raises TransportError where no answer came.
        """
        try:
            return self._ask(request, None)
        except ReplyLost as lost:
            raise TransientError(Step.CONNECT, code=lost.fault.code, seen=lost.fault.seen) from lost.fault

    def error(self, problem: Problem) -> TransportError:
        """What a refusal means, by the service's rules."""
        return refusal(problem, self._rules)

    def _ask(self, request: APIRequest, may_proceed: Callable[[], bool] | None) -> Answer | Problem:
        token = self._access_token(False) if request.is_signed else ""
        answer = self._made(request, token, may_proceed)
        if answer.status == 401 and request.is_signed:
            # Nothing was taken: the second request has a point of no return of its own.
            token = self._access_token(True)
            answer = self._made(request, token, may_proceed)
        return (
            answer
            if answer.status < 400
            else read_problem(answer, now=self._clock(), secrets=(token,) if token else ())
        )

    def _made(self, request: APIRequest, token: str, may_proceed: Callable[[], bool] | None) -> Answer:
        try:
            return self._https.request(
                request.method,
                request.url,
                headers={**request.headers, **({"Authorization": f"Bearer {token}"} if token else {})},
                content=request.content,
                params=request.params,
                seconds=min(_SECONDS + len(request.content) / _SLOWEST_UPLOAD, _LONGEST_SECONDS),
                most_octets=request.most_octets,
                may_proceed=may_proceed,
            )
        except Stopped as stopped:
            raise Abandoned from stopped
        except HTTPSError as fault:
            # A redirect is an answer: whoever gives it took nothing.
            if fault.was_handed_over and fault.code != "http.redirected":
                raise ReplyLost(fault) from fault
            raise as_transport_error(fault) from fault


def report(message: OutgoingMessage, verdict: Verdict, reply: Reply, code: str = "") -> SendReport:
    """The same for every recipient."""
    return SendReport(tuple(RecipientResult(address, verdict, reply, code) for address in message.rcpt_to))


def _is_web_page(answer: Answer) -> bool:
    """The sign-in or block page of something in between; the services answer in JSON or with nothing."""
    return answer.headers.get("Content-Type", "").lower().startswith("text/html")
