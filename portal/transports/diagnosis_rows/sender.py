"""Rows for who sends: the server's view of the portal's address, its name, the sender and its domain."""

from __future__ import annotations

from portal.transports import Step
from portal.transports.diagnosis_rows.row import (
    DNS_ADMINISTRATOR,
    HOST_ADMINISTRATOR,
    NETWORK_ADMINISTRATOR,
    NOBODY,
    PERMANENT,
    REFUSAL,
    TEMPORARY,
    TRANSACTION,
    YOU,
    Row,
    Said,
    When,
    token,
)
from portal.wording import N_

_RELAYING = token(
    "unable to relay",
    "relay\\w* (access )?(denied|prohibited|not permitted|not allowed|restricted)",
    "relaying (is )?not",
    "(not permitted|not allowed|refus\\w+) to relay",
    "not (permitted|allowed) to send to (external|this) ",
    "we do(n't| not) relay",
    "user not local",
)

ROWS = (
    Row(
        code="smtp.ehlo_name_refused",
        cause=N_("%(host)s does not accept the name by which the portal introduces itself (EHLO)."),
        who=YOU,
        remedy=N_(
            "Set the connection's EHLO name to the portal's full public host name, such as portal.contoso.com: a "
            "single word, localhost and an address are often turned away."
        ),
        said=(
            Said(
                codes=REFUSAL,
                token=token("helo command rejected", "invalid (helo|ehlo)"),
            ),
            Said(codes=(501, 504, 550, 553), steps=frozenset({Step.CAPABILITIES})),
        ),
    ),
    Row(
        code="smtp.address_blocklisted",
        cause=N_("%(host)s turns away the IP address that the portal's mail comes from: it is on a block list."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Follow the link in the server's reply to see which list it is and ask to be taken off once the "
            "cause has ended. Addresses of homes and clouds are listed for good: sign in to a mail provider and "
            "send through it instead."
        ),
        said=(
            Said(
                codes=REFUSAL,
                token=token("blocked using", "block ?list", "black ?list", "spamhaus", "dnsbl", "\\brbl\\b"),
            ),
        ),
    ),
    Row(
        code="smtp.greylisted",
        cause=N_("%(host)s makes mail from senders it does not know yet wait a few minutes (greylisting)."),
        who=NOBODY,
        remedy=N_(
            "The mail goes through at one of the next tries. For a relay of your own, its administrator exempts "
            "the portal's address from greylisting."
        ),
        said=(Said(codes=TEMPORARY, token=token("gr[ae]y-?list", "postgrey")),),
    ),
    Row(
        code="smtp.reverse_dns_missing",
        cause=N_("%(host)s finds no host name for the IP address that the portal's mail comes from."),
        who=NETWORK_ADMINISTRATOR,
        remedy=N_(
            "Have a reverse DNS record (PTR) made for the portal's public address that leads to a name, and the "
            "name back to the address. The provider of the internet line does this."
        ),
        said=(
            Said(enhanced=("x.7.25",)),
            Said(
                codes=REFUSAL,
                token=token("reverse (dns|hostname|lookup)", "\\bptr\\b", "cannot find your (reverse )?hostname"),
            ),
        ),
    ),
    Row(
        code="smtp.client_refused",
        cause=N_("%(host)s turns away the IP address that the portal's mail comes from."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Let the portal's IP address in. Check also that %(host)s is the server meant for sending mail."),
        said=(Said(codes=REFUSAL, token=token("client host (rejected|blocked)")),),
    ),
    Row(
        code="smtp.sender_domain_unauthenticated",
        cause=N_("The recipient's server finds no proof (SPF, DKIM) that mail of %(domain)s may come this way."),
        who=DNS_ADMINISTRATOR,
        remedy=N_(
            "Add %(host)s to the SPF record of %(domain)s and sign with DKIM, or send through the provider that "
            "%(domain)s already allows."
        ),
        said=(
            Said(enhanced=("x.7.20", "x.7.21", "x.7.22", "x.7.23", "x.7.24", "x.7.26", "x.7.509")),
            Said(codes=REFUSAL, token=token("\\bspf\\b", "\\bdkim\\b", "\\bdmarc\\b", "sender policy framework")),
        ),
    ),
    Row(
        code="smtp.sender_domain_unknown",
        cause=N_("%(host)s finds no mail server in the DNS for %(domain)s, the domain of the sender %(sender)s."),
        who=YOU,
        remedy=N_(
            "Correct the From address. If the domain is right, it needs an MX or address record that servers "
            "outside can see; made-up and internal domains have none."
        ),
        said=(
            Said(
                codes=REFUSAL,
                token=token(
                    "sender address rejected:? domain not found",
                    "(sender|domain of sender).{0,80}does not (exist|resolve)",
                    "(unknown|unresolvable) sender domain",
                ),
            ),
        ),
    ),
    Row(
        code="smtp.relaying_denied",
        cause=N_(
            "%(host)s passes mail on only for those who sign in or whose address it knows, and this connection "
            "does not sign in although the server offers it."
        ),
        who=YOU,
        remedy=N_(
            "Set the authentication to user name and password, and give both, or have the administrator of "
            "%(host)s add the portal's IP address to those that may relay."
        ),
        when=When(signs_in=False, is_auth_offered=True),
        said=(Said(codes=REFUSAL, token=_RELAYING),),
    ),
    Row(
        code="smtp.relaying_denied",
        cause=N_("%(host)s does not pass on mail for this sender, from the portal's IP address, to other domains."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Add the portal's IP address to those that may relay through %(host)s, or give the connection an "
            "account to sign in with."
        ),
        said=(Said(codes=REFUSAL, token=_RELAYING), Said(codes=(551,))),
    ),
    Row(
        code="smtp.sender_refused",
        cause=N_("%(host)s does not let the account %(username)s send as %(sender)s."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Allow %(username)s to send as %(sender)s, or use the account's own address as From address of "
            "this connection."
        ),
        when=When(signs_in=True),
        said=(
            Said(
                codes=REFUSAL,
                token=token(
                    "not owned by",
                    "not (allowed|authori[sz]ed|permitted) to send (as|from|on behalf)",
                    "does(n't| not) (match|belong to) .{0,40}(authenticated|login|account|user)",
                ),
            ),
        ),
    ),
    Row(
        code="smtp.sender_refused",
        cause=N_("%(host)s does not accept %(sender)s as sender."),
        who=YOU,
        remedy=N_(
            "Use a From address that %(host)s allows: usually one of its own domains, or the account's own "
            "address. Otherwise its administrator allows %(sender)s; some providers want each sender verified "
            "first."
        ),
        said=(
            Said(codes=PERMANENT, enhanced=("x.1.7", "x.1.8", "x.7.60"), steps=TRANSACTION),
            Said(
                codes=PERMANENT,
                token=token(
                    "sender (address )?(is )?(rejected|refused|denied|not allowed|invalid)",
                    "sender verify failed",
                    "(invalid|bad) (sender|return path)",
                    "not (a )?verified",
                ),
                steps=TRANSACTION,
            ),
        ),
    ),
)
