"""A connection check: the conversation up to the point where a message would begin, step by step.

Nothing is sent: after the 354 to DATA the connection is dropped, and a server delivers nothing that was not
ended by a dot (RFC 5321 4.1.1.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic

from portal.network.policy import MailPolicy
from portal.transports import (
    ConnectionFault,
    OutgoingMessage,
    Step,
    StepResult,
    StepStatus,
    TransportError,
)
from portal.transports.diagnosis import Target, diagnose
from portal.transports.smtp_blotting import Transcript
from portal.transports.smtp_capabilities import Capabilities
from portal.transports.smtp_conversation import target_of
from portal.transports.smtp_envelope import envelope_commands
from portal.transports.smtp_findings import (
    Finding,
    of_capabilities,
    of_certificate,
    of_encryption,
    of_settings,
    of_sign_in,
    of_token,
    passed,
)
from portal.transports.smtp_opening import Opening
from portal.transports.smtp_safe_sign_in import refuse_unsafe_token
from portal.transports.smtp_second_look import CERTIFICATE_CODES, certificate_at, speaks_tls
from portal.transports.smtp_settings import Auth, Security, SMTPSettings
from portal.transports.smtp_tls import make_context
from portal.wording import N_, Text, joined

_PATIENCE_WITH_SILENCE = 5.0
_MOST_ADDRESSES_SHOWN = 6
_HTTPS_PORT = 443


def check_smtp(
    settings: SMTPSettings,
    *,
    sender: str,
    recipient: str,
    policy: MailPolicy,
    ca_bundle: Path | None = None,
    on_step: Callable[[StepResult], None],
    cancelled: Callable[[], bool],
) -> tuple[StepResult, ...]:
    """Every step in the order in which it is taken, reported to `on_step` as it ends.

    Ends within the timeout of the settings, which bounds all waits together here, and two seconds, besides the time
    in which an access token is fetched. After a `fail`, or once `cancelled` says so (asked between steps), the rest
    are `skip`. Raises nothing of its own.
    """
    check = _Check(settings, sender=sender, recipient=recipient, policy=policy, ca_bundle=ca_bundle)
    results = []
    try:
        for result in check.results(cancelled):
            results.append(result)
            on_step(result)
    finally:
        check.end()
    return tuple(results)


class _Check:
    """The state of one check: the deadline of all its waits, and the conversation as far as it has come."""

    def __init__(
        self, settings: SMTPSettings, *, sender: str, recipient: str, policy: MailPolicy, ca_bundle: Path | None
    ) -> None:
        self._settings = settings
        self._sender = sender
        self._recipient = recipient
        self._policy = policy
        self._transcript = Transcript()
        self._commands: list[str] = []
        self._opening = Opening(
            settings,
            policy=policy,
            trust=partial(
                make_context,
                verify_certificate=settings.verify_certificate,
                ca_certificate=settings.ca_certificate,
                ca_bundle=ca_bundle,
            ),
            deadline=monotonic() + settings.timeout_seconds,
            transcript=self._transcript,
        )

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
                finding = self._failure(error)
            is_over = finding.status is StepStatus.FAIL
            elapsed_ms = round((monotonic() - started) * 1000)
            yield StepResult(step, finding.status, elapsed_ms, finding.seen, finding.diagnosis, self._transcript.take())

    def end(self) -> None:
        """Drop the connection: QUIT after a 354 would be the first line of a message."""
        self._opening.close()

    def _steps(self) -> Iterator[tuple[Step, Callable[[], Finding]]]:
        yield Step.SETTINGS, self._judge_settings
        if not self._settings.asks_for_token:
            yield Step.TOKEN, self._judge_stored_token
        for step, take in self._opening.steps:
            yield step, partial(self._open, step, take)
        yield Step.SENDER, self._name_sender
        yield Step.RECIPIENT, partial(self._say, Step.RECIPIENT, 1)
        yield Step.DATA, self._begin_data

    def _judge_settings(self) -> Finding:
        settings = self._settings
        names_user = settings.auth is not Auth.NONE and not settings.signs_in_as_host
        if not settings.host or not self._recipient or (names_user and not settings.username):
            return self._fault(Step.SETTINGS, "settings.incomplete", N_("host, From address or user name is missing"))
        if names_user and not settings.password and not settings.asks_for_token:
            is_token = settings.signs_in_with_token
            seen = N_("there is no access token") if is_token else N_("there is no password")
            return self._fault(Step.SETTINGS, "settings.needs_secret", seen)
        refuse_unsafe_token(settings)
        return passed(of_settings(settings))

    def _judge_stored_token(self) -> Finding:
        is_stored = self._settings.signs_in_with_token
        seen = N_("the stored access token is used") if is_stored else N_("no token is needed")
        return Finding(StepStatus.SKIP, seen)

    def _open(self, step: Step, take: Callable[[], None]) -> Finding:
        if step is Step.GREETING:
            self._await_greeting()
        elif step is Step.TOKEN:
            # Anew: a secret or consent which ended since the last one was given must not stay hidden for an hour.
            self._opening.fetch_token(renew=True)
            return self._judge_token()
        else:
            take()
        return self._judge_encryption() if step is Step.TLS else passed(self._seen_at(step))

    def _seen_at(self, step: Step) -> Text | str:
        opening = self._opening
        match step:
            case Step.RESOLVE:
                return ", ".join(address.text for address in opening.addresses[:_MOST_ADDRESSES_SHOWN])
            case Step.CONNECT:
                return opening.address.text if opening.address else ""
            case Step.GREETING:
                return opening.conversation.banner
            case Step.CAPABILITIES:
                return of_capabilities(opening.conversation.capabilities)
        return of_sign_in(self._settings)

    def _judge_token(self) -> Finding:
        giver, target = self._settings.access_token, self._token_target()
        if giver is None:
            raise RuntimeError("nothing gives a token")
        return of_token(giver, advise=lambda code: diagnose(Step.TOKEN, code=code, target=target))

    def _await_greeting(self) -> None:
        """As the opening does, but a server that keeps silent is soon asked whether it waits for TLS."""
        opening, timeout = self._opening, self._settings.timeout_seconds
        patience = min(_PATIENCE_WITH_SILENCE, timeout / 4)
        try:
            opening.read_greeting(seconds=patience)
        except TransportError as error:
            if error.code not in {"network.silence", "tls.expected_tls"} or opening.address is None:
                raise
            half_of_the_rest = (monotonic() + opening.deadline) / 2
            if not self._settings.is_implicit_tls and speaks_tls(opening.address, deadline=half_of_the_rest):
                seen = f"silence for {patience:.1f} s, but TLS is answered"
                raise ConnectionFault(Step.GREETING, code="tls.expected_tls", seen=seen) from error
            # Some servers let strangers wait on purpose; what was not said yet may still come.
            opening.read_greeting(seconds=max(0.1, opening.deadline - monotonic()))

    def _judge_encryption(self) -> Finding:
        finding = of_encryption(self._settings, self._opening.conversation.encryption, now=datetime.now(UTC))
        is_downgraded = finding.status is StepStatus.WARN and self._settings.security is Security.AUTO
        if is_downgraded and self._opening.conversation.encryption is None:
            advice = diagnose(Step.TLS, code="tls.starttls_not_offered", target=self._target())
            return replace(finding, diagnosis=advice)
        return finding

    def _name_sender(self) -> Finding:
        message = OutgoingMessage(self._sender, (self._recipient,), b"")
        # The size of a message that will never come is not named.
        offered = replace(self._opening.conversation.capabilities, has_size=False)
        self._commands = [command.decode().strip() for command in envelope_commands(message, offered)]
        return self._say(Step.SENDER, 0)

    def _say(self, step: Step, place: int) -> Finding:
        conversation = self._opening.conversation
        raw = conversation.ask(step, self._commands[place])
        if raw.code >= 300:
            raise conversation.refusal(step, raw, sender=self._sender)
        return passed(str(conversation.readable(raw)))

    def _begin_data(self) -> Finding:
        conversation = self._opening.conversation
        raw = conversation.ask(Step.DATA, self._commands[2])
        if raw.code != 354:
            raise conversation.refusal(Step.DATA, raw, sender=self._sender)
        return passed(N_("%(reply)s (nothing was sent)", reply=str(conversation.readable(raw))))

    def _failure(self, error: TransportError) -> Finding:
        if error.code == "smtp.not_smtp":
            self._transcript.take()  # it may be any service of the inner network: its words are not shown
        seen: Text | str = str(error.reply) if error.reply else error.seen
        address = self._opening.address
        if error.code in CERTIFICATE_CODES and address is not None and error.step is not Step.TOKEN:
            certificate = certificate_at(self._settings, address, policy=self._policy, deadline=self._opening.deadline)
            seen = joined("; ", (seen, of_certificate(certificate))) if certificate else seen
        target = self._token_target() if error.step is Step.TOKEN else self._target()
        advice = diagnose(error.step, reply=error.reply, error=error.__cause__, code=error.code, target=target)
        return Finding(StepStatus.FAIL, seen, advice)

    def _fault(self, step: Step, code: str, seen: Text) -> Finding:
        return Finding(StepStatus.FAIL, seen, diagnose(step, code=code, target=self._target()))

    def _target(self) -> Target:
        capabilities = self._opening.conversation.capabilities if self._opening.address else Capabilities()
        return target_of(self._settings, capabilities, sender=self._sender)

    def _token_target(self) -> Target:
        """The server that gives tokens is another one; what gives them may name it as `host`."""
        host = getattr(self._settings.access_token, "host", "") or self._settings.host
        return replace(self._target(), host=host, port=_HTTPS_PORT)
