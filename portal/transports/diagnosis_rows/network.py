"""Rows for names, addresses and connections: what goes wrong before and beneath SMTP."""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import (
    HOST_ADMINISTRATOR,
    NETWORK_ADMINISTRATOR,
    NOBODY,
    YOU,
    Row,
    Said,
)
from portal.wording import N_

ROWS = (
    Row(
        code="network.name_not_found",
        cause=N_("The name %(host)s is unknown to the DNS server that the portal's machine asks."),
        who=YOU,
        remedy=N_(
            "Correct the host name. If it is right, ask your network's administrator whether the portal's "
            "machine uses the DNS server that knows it: an internal name is often known inside alone."
        ),
    ),
    Row(
        code="network.resolve_failed",
        cause=N_("The DNS server gave no usable answer for %(host)s."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Mend name resolution on the portal's machine. The portal tries again by itself. To test it there, "
            "run: getent hosts %(host_argument)s"
        ),
    ),
    Row(
        code="network.address_refused",
        cause=N_(
            "%(host)s leads to an address that is closed to the portal: its own machine, link-local, a cloud's "
            "metadata service, multicast or reserved."
        ),
        who=YOU,
        remedy=N_(
            "Enter the host name or address of the mail server itself. If the server really runs on the "
            "portal's own machine, the portal's operator names it in PORTAL_MAIL_ALLOW (127.0.0.0/8,::1/128) and "
            "starts the portal again; the other kinds cannot be opened."
        ),
    ),
    Row(
        code="network.port_refused",
        cause=N_("Port %(port)s is not among the ports that this portal may use for mail."),
        who=YOU,
        remedy=N_(
            "Use 587 (STARTTLS), 465 (implicit TLS) or 25. If the server really listens on %(port)s, the "
            "portal's operator adds it to PORTAL_MAIL_PORTS and starts the portal again."
        ),
    ),
    Row(
        code="network.connection_refused",
        cause=N_("%(host)s answered that nothing accepts connections on port %(port)s."),
        who=YOU,
        remedy=N_(
            "Check the port: 587 (STARTTLS), 465 (implicit TLS) or 25. If it is right, the mail service is "
            "down, listens elsewhere, or a firewall turns the portal away: tell the administrator of %(host)s."
        ),
    ),
    Row(
        code="network.connect_timeout",
        cause=N_(
            "Nothing answered at %(host)s on port %(port)s. Most often a firewall drops the connection in "
            "silence; sometimes the host is down or its IPv6 route leads nowhere."
        ),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Open outgoing TCP port %(port)s from the portal's machine to %(host)s. Many networks and clouds "
            "block 25, some block 587: if the server also listens on 465, use that with implicit TLS."
        ),
    ),
    Row(
        code="network.unreachable",
        cause=N_("The portal's machine has no way to %(host)s: the network reports it as unreachable."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Check the route and the outgoing firewall rules of the portal's machine. If %(host)s has an IPv6 "
            "address that this network cannot reach, mend IPv6 or use a name that has IPv4 addresses only."
        ),
    ),
    Row(
        code="network.connection_lost",
        cause=N_("%(host)s, or something on the way, ended the connection in the middle of the conversation."),
        who=NOBODY,
        remedy=N_(
            "If it happens every time, ask the administrator of %(host)s whether a connection limit, a spam "
            "filter or a firewall cuts the portal off."
        ),
    ),
    Row(
        code="network.silence",
        cause=N_("%(host)s accepted the connection on port %(port)s and then said nothing."),
        who=YOU,
        remedy=N_(
            "Check that port and encryption fit: 465 stays silent until implicit TLS begins. If they fit, the "
            "server is overloaded or holds back senders it does not know: ask the administrator of %(host)s."
        ),
    ),
    Row(
        code="network.too_slow",
        cause=N_("%(host)s answered so slowly that the time for the conversation ran out."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Try again. If it is always slow, raise the connection's timeout, and ask why the server takes so "
            "long; servers that delay on purpose do so for senders they do not trust yet."
        ),
    ),
    Row(
        code="network.proxy_sign_in_needed",
        cause=N_("The web proxy between the portal and the provider asks for a sign-in."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Give the proxy's user name and password in HTTPS_PROXY (http://user:password@proxy:3128), or let "
            "the portal's machine through without them, and start the portal again."
        ),
        said=(Said(codes=(407,)),),
    ),
)
