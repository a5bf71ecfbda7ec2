"""A second connection, for the diagnosis alone: what a server's certificate says, or whether it waits for TLS.

Nothing of the mail or the sign-in is ever said on it.
"""

from __future__ import annotations

import ssl
from dataclasses import replace
from functools import partial
from time import monotonic

from portal.network.addresses import VettedAddress
from portal.network.policy import MailPolicy
from portal.transports import Step, TransportError
from portal.transports.smtp_connect import connect
from portal.transports.smtp_opening import Opening
from portal.transports.smtp_settings import Auth, SMTPSettings
from portal.transports.smtp_tls import Certificate, certificate_of, make_context
from portal.transports.smtp_wire import WireFault

CERTIFICATE_CODES = frozenset(
    {
        "tls.expired_certificate",
        "tls.invalid_certificate",
        "tls.not_yet_valid_certificate",
        "tls.self_signed_certificate",
        "tls.unknown_ca",
        "tls.weak_certificate",
        "tls.wrong_name",
    }
)
_LONGEST_LOOK = 2.0


def certificate_at(
    settings: SMTPSettings, address: VettedAddress, *, policy: MailPolicy, deadline: float
) -> Certificate | None:
    """The certificate that could not be verified; None where it cannot be had in time."""
    opening = Opening(
        replace(settings, verify_certificate=False, auth=Auth.NONE),
        policy=policy,
        trust=partial(make_context, verify_certificate=False),
        deadline=min(deadline, monotonic() + _LONGEST_LOOK),
    )
    opening.addresses = (address,)
    try:
        for step, take in opening.steps:
            if step in {Step.CONNECT, Step.GREETING, Step.TLS}:
                take()
            if step is Step.TLS:
                break
        encryption = opening.conversation.encryption
        return certificate_of(encryption) if encryption else None
    except TransportError:
        return None
    finally:
        opening.close()


def speaks_tls(address: VettedAddress, *, deadline: float) -> bool:
    """Whether the silent server answers a TLS handshake."""
    context = make_context(verify_certificate=False)
    try:
        connected, _ = connect((address,), deadline=min(deadline, monotonic() + _LONGEST_LOOK))
    except WireFault:
        return False
    with connected, context.wrap_socket(connected, do_handshake_on_connect=False) as encrypted:
        encrypted.settimeout(max(0.1, min(_LONGEST_LOOK, deadline - monotonic())))
        try:
            encrypted.do_handshake()
        except (OSError, ssl.SSLError):
            return False
        return True
