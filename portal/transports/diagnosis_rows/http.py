"""Rows for HTTPS to providers: lost and odd answers, and the network's codes where no mail server is meant.

The rows of the network and of TLS speak of mail servers, their ports and their administrators. A provider's API
has one port and its certificate is good; what is wrong lies between, so these rows, which share their codes, say so.
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import NETWORK_ADMINISTRATOR, NOBODY, YOU, Row, When
from portal.wording import N_

_HTTPS = When(security=frozenset({"https"}))
_INSPECTED = N_(
    "Most often a proxy or firewall opens the encryption to look inside. Exempt %(host)s from that, or put the "
    "certificate of its CA (PEM) into the file that PORTAL_CA_BUNDLE names, and start the portal again."
)
_CLOCK = N_(
    "Check the clock of the portal's machine first. If it is right, something between the portal and %(host)s answers "
    "in its place, such as a proxy with an old certificate: your network's administrator mends that."
)

ROWS = (
    Row(
        code="http.reply_lost",
        cause=N_("The message was handed over to %(host)s, but the answer was lost: whether it took it is not known."),
        who=YOU,
        remedy=N_(
            "Look in the mailbox's Sent folder before you send it again: it may go out twice. If it happens often, ask "
            "your network's administrator whether a proxy cuts long requests off."
        ),
    ),
    Row(
        code="http.gateway_failed",
        cause=N_("A gateway before %(host)s got no answer in time: whether the message was taken is not known."),
        who=YOU,
        remedy=N_("Look in the mailbox's Sent folder before you send it again: it may go out twice."),
    ),
    Row(
        code="http.answer_too_large",
        cause=N_("%(host)s answered with far more than such an answer ever holds, so the portal hung up."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Something may answer in the provider's place: see what a browser on the portal's machine shows for "
            "https://%(host)s, and check the addresses that the portal's operator may have set."
        ),
    ),
    Row(
        code="http.unreadable_answer",
        cause=N_("What answers at %(host)s does not speak HTTP."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Something between the portal and %(host)s answers in its place, such as a broken proxy. Check "
            "HTTPS_PROXY, and the addresses that the portal's operator may have set."
        ),
    ),
    Row(
        code="http.redirected",
        cause=N_("%(host)s sends the portal on to another address, which the portal does not follow with a secret."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "A sign-in page of the network may stand in between: let the portal's machine through to %(host)s. If the "
            "portal's operator has set addresses of the provider, correct them."
        ),
    ),
    Row(
        code="http.unexpected_answer",
        cause=N_("What answers at %(host)s is not the provider's service: the answer is nothing that it ever says."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Usually a proxy's or network's own page comes in between: let the portal's machine through to %(host)s. "
            "Nothing is lost, the portal tries again."
        ),
    ),
    Row(
        code="network.name_not_found",
        cause=N_("The name %(host)s is unknown to the DNS server that the portal's machine asks."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Let the portal's machine look up names of the internet. Where only a proxy may do so, name it in "
            "HTTPS_PROXY (http://proxy:3128) and start the portal again."
        ),
        when=_HTTPS,
    ),
    Row(
        code="network.connection_refused",
        cause=N_("The connection to %(host)s on port %(port)s was turned away."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Let the portal's machine through to %(host)s, port %(port)s. If a proxy is set in HTTPS_PROXY, check its "
            "address and port."
        ),
        when=_HTTPS,
    ),
    Row(
        code="network.connect_timeout",
        cause=N_(
            "Nothing answered at %(host)s on port %(port)s. Most often a firewall drops the connection in silence."
        ),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Open outgoing TCP port %(port)s from the portal's machine to %(host)s, or name the proxy that leads "
            "outside in HTTPS_PROXY (http://proxy:3128) and start the portal again."
        ),
        when=_HTTPS,
    ),
    Row(
        code="network.connection_lost",
        cause=N_("%(host)s, or something on the way, ended the connection before the answer."),
        who=NOBODY,
        remedy=N_(
            "If it happens every time, ask your network's administrator whether a proxy or firewall cuts it off."
        ),
        when=_HTTPS,
    ),
    Row(
        code="network.too_slow",
        cause=N_("%(host)s answered so slowly that the time for the request ran out."),
        who=NOBODY,
        remedy=N_("If it lasts, ask your network's administrator how fast the way to %(host)s is."),
        when=_HTTPS,
    ),
    *(
        Row(
            code=code,
            cause=N_("The certificate that was shown for %(host)s is not one that the portal's machine trusts."),
            who=NETWORK_ADMINISTRATOR,
            remedy=_INSPECTED,
            when=_HTTPS,
        )
        for code in ("tls.unknown_ca", "tls.self_signed_certificate", "tls.wrong_name", "tls.invalid_certificate")
    ),
    Row(
        code="tls.expired_certificate",
        cause=N_("The certificate that was shown for %(host)s has expired."),
        who=YOU,
        remedy=_CLOCK,
        when=_HTTPS,
    ),
    Row(
        code="tls.not_yet_valid_certificate",
        cause=N_("The certificate that was shown for %(host)s is not valid yet."),
        who=YOU,
        remedy=_CLOCK,
        when=_HTTPS,
    ),
    Row(
        code="tls.handshake_failed",
        cause=N_("The encryption with %(host)s could not be set up."),
        who=NETWORK_ADMINISTRATOR,
        remedy=_INSPECTED,
        when=_HTTPS,
    ),
)
