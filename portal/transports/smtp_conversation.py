"""A conversation with one submission server: commands, replies, and what goes wrong, in the transports' words."""

from __future__ import annotations

import ssl
from contextlib import suppress

from portal.mail.status_codes import split_status_code
from portal.transports import ConnectionFault, Reply, Step, TransientError, TransportError
from portal.transports.diagnosis import Target, diagnose
from portal.transports.refusals import as_error, judge
from portal.transports.smtp_blotting import readable, secret_forms
from portal.transports.smtp_capabilities import Capabilities
from portal.transports.smtp_settings import SMTPSettings
from portal.transports.smtp_wire import MOST_REPLY_LINES, RawReply, Wire, WireFault

_LONGEST_TEXT = 1000
_FAREWELL_SECONDS = 1.0
_FAULTS_OF_THE_WAY_OUT = {
    "smtp.not_smtp",
    "tls.bad_ca_certificate",
    "tls.client_certificate_needed",
    "tls.expected_plain",
    "tls.expected_tls",
    "tls.protocol_too_old",
    "tls.weak_certificate",
}


class Conversation:
    """One connection: its settings, its wire, and what the server offered.

    After a TransportError that is no refusal (`reply` is None) nothing but `drop` may follow.
    """

    def __init__(self, settings: SMTPSettings, wire: Wire) -> None:
        self.settings = settings
        self.wire = wire
        self.banner = ""
        self.capabilities = Capabilities()
        self.is_signed_in = False
        self._secrets = secret_forms(settings.sign_in_name, settings.password)

    @property
    def encryption(self) -> ssl.SSLSocket | None:
        """The TLS socket; None in clear text."""
        return self.wire.socket if isinstance(self.wire.socket, ssl.SSLSocket) else None

    def ask(self, step: Step, line: str, *, shown: str = "", most_lines: int = MOST_REPLY_LINES) -> RawReply:
        """Send one command line and read its reply, whatever it says. Raises TransportError.

        `shown` is what the transcript holds instead of a line with a secret in it.
        """
        seconds = self.settings.timeout_seconds
        try:
            self.wire.send(f"{line}\r\n".encode(), seconds=seconds, shown=shown or line)
            return self.wire.read_reply(seconds=seconds, most_lines=most_lines)
        except WireFault as fault:
            raise as_transport_error(step, fault) from fault

    def readable(self, raw: RawReply) -> Reply:
        """The reply for people and records: at most 1,000 characters in one line, secrets blotted out."""
        if len(raw.lines) == 1:
            code, rest = split_status_code(readable(raw.lines[0], self._secrets))
            return Reply(raw.code, rest.strip()[:_LONGEST_TEXT], code)
        lines = [split_status_code(readable(line, self._secrets)) for line in raw.lines]
        # A multi-line reply repeats its status code on every line (RFC 2034 section 4).
        text = " ".join(rest.strip() for _, rest in lines).strip()
        return Reply(raw.code, text[:_LONGEST_TEXT], next((code for code, _ in lines if code), None))

    def refusal(self, step: Step, raw: RawReply, *, sender: str = "", code: str = "") -> TransportError:
        """The error for a reply that is not the one hoped for; `code` where the reply need not be looked at."""
        reply = self.readable(raw)
        if reply.code < 400:
            return TransientError(step, code="smtp.malformed_reply", reply=reply)
        code = (
            code or diagnose(step, reply=reply, target=target_of(self.settings, self.capabilities, sender=sender)).code
        )
        return as_error(step, reply, judge(step, reply, is_signed_in=self.is_signed_in), code=code)

    def farewell(self) -> None:
        """QUIT, a moment for its reply, and the end; never raises."""
        with suppress(WireFault):
            self.wire.send(b"QUIT\r\n", seconds=_FAREWELL_SECONDS, shown="QUIT")
            self.wire.read_reply(seconds=_FAREWELL_SECONDS)
        self.drop()

    def drop(self) -> None:
        """End without a word: the server discards what was not finished (RFC 5321 4.1.1.10). Never raises."""
        self.wire.close()


def target_of(settings: SMTPSettings, capabilities: Capabilities, *, sender: str = "") -> Target:
    """What the diagnosis fills its sentences with."""
    return Target(
        host=settings.host,
        port=settings.port,
        security=settings.security,
        auth=settings.auth,
        username=settings.sign_in_name,
        sender=sender,
        auth_offered=bool(capabilities.mechanisms) if capabilities.is_known else None,
    )


def as_transport_error(step: Step, fault: WireFault) -> TransportError:
    """The way out's fault where somebody must change something, else one that passes by itself."""
    is_certificate = isinstance(fault.__cause__, ssl.SSLCertVerificationError)
    kind = ConnectionFault if is_certificate or fault.code in _FAULTS_OF_THE_WAY_OUT else TransientError
    return kind(step, code=fault.code, seen=fault.seen)
