"""Rows for encryption: certificates, handshakes, and TLS where plain text was expected or the reverse."""

from __future__ import annotations

from portal.transports import Step
from portal.transports.diagnosis_rows.row import HOST_ADMINISTRATOR, REFUSAL, YOU, Row, Said, token
from portal.wording import N_

ROWS = (
    Row(
        code="tls.starttls_refused",
        cause=N_("%(host)s offers STARTTLS and then refuses to begin it."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Mend the server's certificate or TLS set-up: this is the usual answer when it cannot load them. "
            "Until then port 465 with implicit TLS may work. Nothing was sent without encryption."
        ),
        said=(Said(codes=REFUSAL, steps=frozenset({Step.TLS})),),
    ),
    Row(
        code="tls.starttls_not_offered",
        cause=N_("%(host)s does not offer STARTTLS on port %(port)s, so the conversation would go unencrypted."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Use port 465 with implicit TLS if the server has it; otherwise its administrator turns STARTTLS on. "
            "A firewall that inspects mail may also strip the offer. Set the encryption to none only for a relay "
            "inside your own network."
        ),
    ),
    Row(
        code="tls.required",
        cause=N_("%(host)s takes mail over encrypted connections only, and this one is not encrypted."),
        who=YOU,
        remedy=N_("Set the encryption to STARTTLS (port 587 or 25) or to implicit TLS (port 465)."),
        said=(
            Said(
                codes=REFUSAL,
                token=token("must issue (a )?starttls", "(starttls|tls|encryption) (is )?(required|needed)"),
                steps=frozenset(Step) - {Step.AUTHENTICATE},
            ),
        ),
    ),
    Row(
        code="tls.expected_plain",
        cause=N_("Port %(port)s of %(host)s speaks plain text first, but the portal began with TLS."),
        who=YOU,
        remedy=N_("Set the encryption to STARTTLS for port %(port)s, or keep implicit TLS and use port 465."),
    ),
    Row(
        code="tls.expected_tls",
        cause=N_("Port %(port)s of %(host)s waits for TLS, but the portal waited for a greeting in plain text."),
        who=YOU,
        remedy=N_("Set the encryption to implicit TLS for port %(port)s, or use port 587 with STARTTLS."),
    ),
    Row(
        code="tls.expired_certificate",
        cause=N_("The certificate of %(host)s has expired."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Renew the certificate and restart the mail service. If it was renewed, the service still shows the "
            "old one. If many servers seem expired, the clock of the portal's machine is wrong."
        ),
    ),
    Row(
        code="tls.not_yet_valid_certificate",
        cause=N_("The certificate of %(host)s is not valid yet."),
        who=YOU,
        remedy=N_(
            "Check the clock of the portal's machine. If it is right, the certificate was made on a machine "
            "whose clock is ahead: the administrator of %(host)s makes a new one."
        ),
    ),
    Row(
        code="tls.self_signed_certificate",
        cause=N_("%(host)s shows a certificate that it, or a CA of its own, signed itself; nobody vouches for it."),
        who=YOU,
        remedy=N_(
            "Ask the administrator of %(host)s for the certificate or its CA in PEM form, compare the "
            "fingerprint with them, and paste it as this connection's own certificate authority. Leave the certificate "
            "check on."
        ),
    ),
    Row(
        code="tls.wrong_name",
        cause=N_("The certificate of the server is made out to other names than %(host)s."),
        who=YOU,
        remedy=N_(
            "Enter as host a name that stands in the certificate. If %(host)s is right, the administrator of "
            "the server adds it to the certificate, or something on the way answers in the server's place."
        ),
    ),
    Row(
        code="tls.unknown_ca",
        cause=N_("The certificate of %(host)s comes from a CA that the portal's machine does not know."),
        who=YOU,
        remedy=N_(
            "Paste the CA certificate (PEM) as this connection's own certificate authority, or let the portal's "
            "operator name it in PORTAL_CA_BUNDLE. For a public server an incomplete chain is likelier: its "
            "administrator installs the intermediate certificates. An inspecting firewall also shows a CA of its "
            "own."
        ),
    ),
    Row(
        code="tls.weak_certificate",
        cause=N_("The certificate of %(host)s uses a key or signature that is too weak to be trusted."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Replace the certificate by one with RSA of 2048 bits or more, or ECDSA, signed with SHA-256."),
    ),
    Row(
        code="tls.invalid_certificate",
        cause=N_("The certificate of %(host)s could not be verified."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Replace the certificate by one made for servers, from a CA that the portal trusts; what is wrong "
            "with this one stands in the step's own words."
        ),
    ),
    Row(
        code="tls.protocol_too_old",
        cause=N_("%(host)s and the portal have no TLS version in common: the portal asks for 1.2 or newer."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Turn on TLS 1.2 or 1.3 on the server; the versions before are broken and withdrawn (RFC 8996)."),
    ),
    Row(
        code="tls.client_certificate_needed",
        cause=N_("%(host)s wants a certificate from the portal, not only its own."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Let the portal in by user name and password or by its IP address: it shows no certificate."),
    ),
    Row(
        code="tls.handshake_failed",
        cause=N_("The TLS handshake with %(host)s broke off."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Check that port and encryption fit (465 is implicit TLS, 587 and 25 are STARTTLS). If they do, the "
            "server's TLS set-up or a firewall between breaks it: its administrator tests it from outside."
        ),
    ),
    Row(
        code="tls.bad_ca_certificate",
        cause=N_("This connection's own certificate authority cannot be read."),
        who=YOU,
        remedy=N_(
            "Paste it as PEM text: it begins with -----BEGIN CERTIFICATE----- and ends with "
            "-----END CERTIFICATE-----, without a private key. Several may follow each other."
        ),
    ),
)
