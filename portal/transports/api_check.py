"""A connection check of a mail service's API: settings, token, permissions, mailbox. Nothing is sent.

What a token may do and whose mailbox it opens is the service's own affair: `graph_check` and `gmail_check` look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic

from portal.transports import AccessToken, Step, StepResult, StepStatus, TransportError
from portal.transports.diagnosis import Target, diagnose
from portal.transports.smtp_findings import Finding, of_token, passed
from portal.wording import N_, Text, joined

Look = Callable[[str], Finding]
"""What a service shows to whoever holds this access token. May raise TransportError."""


def check_api(
    *,
    missing: tuple[Text, ...],
    access_token: AccessToken,
    permissions: Look,
    mailbox: Look,
    target: Target,
    on_step: Callable[[StepResult], None],
    cancelled: Callable[[], bool],
) -> tuple[StepResult, ...]:
    """Every step in its order, reported to `on_step` as it ends.

    `missing` names what the settings lack. The token is asked for anew, so that a consent or secret which ended
    since the last one was given does not stay hidden for an hour. After a `fail`, or once `cancelled` says so (asked
    between steps), the rest are `skip`. Raises nothing of its own.
    """
    check = _Check(missing, access_token, permissions, mailbox, target)
    results = []
    for result in check.results(cancelled):
        results.append(result)
        on_step(result)
    return tuple(results)


class _Check:
    """The state of one check: the token, once it is there."""

    def __init__(
        self, missing: tuple[Text, ...], access_token: AccessToken, permissions: Look, mailbox: Look, target: Target
    ) -> None:
        self._missing = missing
        self._access_token = access_token
        self._permissions = permissions
        self._mailbox = mailbox
        self._target = target
        self._token = ""

    def results(self, cancelled: Callable[[], bool]) -> Iterator[StepResult]:
        is_over = False
        for step, take in self._steps():
            is_over = is_over or cancelled()
            if is_over:
                yield StepResult(step, StepStatus.SKIP, 0, "")
                continue
            started = monotonic()
            try:
                finding = take()
            except TransportError as error:
                finding = self._failure(step, error)
            is_over = finding.status is StepStatus.FAIL
            elapsed_ms = round((monotonic() - started) * 1000)
            yield StepResult(step, finding.status, elapsed_ms, finding.seen, finding.diagnosis)

    def _steps(self) -> Iterator[tuple[Step, Callable[[], Finding]]]:
        yield Step.SETTINGS, self._judge_settings
        yield Step.TOKEN, self._fetch_token
        yield Step.PERMISSIONS, lambda: self._permissions(self._token)
        yield Step.MAILBOX, lambda: self._mailbox(self._token)

    def _judge_settings(self) -> Finding:
        if self._missing:
            seen = N_("missing: %(what)s", what=joined(", ", self._missing))
            advice = diagnose(Step.SETTINGS, code="settings.incomplete", target=self._target)
            return Finding(StepStatus.FAIL, seen, advice)
        host, mailbox = self._target.host, self._target.mailbox
        return passed(N_("%(host)s as %(mailbox)s", host=host, mailbox=mailbox) if mailbox else host)

    def _fetch_token(self) -> Finding:
        self._token = self._access_token(True)
        target = self._token_target()
        return of_token(self._access_token, advise=lambda code: diagnose(Step.TOKEN, code=code, target=target))

    def _failure(self, step: Step, error: TransportError) -> Finding:
        target = self._token_target() if step is Step.TOKEN else self._target
        advice = diagnose(error.step, reply=error.reply, error=error.__cause__, code=error.code, target=target)
        return Finding(StepStatus.FAIL, str(error.reply) if error.reply else error.seen, advice)

    def _token_target(self) -> Target:
        """Tokens are given by another server than the one that takes mail; who fetches them may know its name."""
        return replace(self._target, host=getattr(self._access_token, "host", "") or self._target.host)
