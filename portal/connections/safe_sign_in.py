"""Where a sign-in may go whose holder could act as the owner: access tokens, and the identity of the portal's host.

The transports refuse the same before anything is said; here it is told while somebody can still change it.
"""

from __future__ import annotations

from portal.connections.installation import Installation
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import ConnectionValues, Method
from portal.transports.ntlm import has_credential_file
from portal.transports.smtp_settings import Auth, Security
from portal.wording import N_, Text


def what_is_unsafe(values: ConnectionValues, *, installation: Installation) -> dict[str, Text]:
    """The settings that would give a sign-in away, and why, by field; nothing where it is safe."""
    own = values.provider
    if own is not None and own.uses_smtp:
        return _token_host_problem(values, installation) | _open_to_others(own.server, _TOKEN)
    if values.method is not Method.SMTP:
        return {}
    if values.smtp.auth is Auth.OAUTHBEARER:
        return _open_to_others(values.smtp, _TOKEN)
    # Kerberos proves the server itself and is of no use elsewhere; NTLM is possible with the operator's file alone.
    is_by_ntlm = values.smtp.auth is Auth.DEFAULT_CREDENTIALS and has_credential_file()
    return _open_to_others(values.smtp, _NTLM) if is_by_ntlm else {}


_TOKEN = {
    "security": N_("An access token goes over an encrypted connection alone: choose STARTTLS or implicit TLS."),
    "verify_certificate": N_(
        "An access token goes only where the certificate is checked. Check it, and paste the certificate of your own "
        "authority below where the server's comes from one."
    ),
}
_NTLM = {
    "security": N_(
        "This host's identity may be told by NTLM, which goes over an encrypted connection alone: choose STARTTLS or "
        "implicit TLS."
    ),
    "verify_certificate": N_(
        "This host's identity may be told by NTLM, which goes only where the certificate is checked. Check it, and "
        "paste the certificate of your own authority below where the server's comes from one."
    ),
}


def _open_to_others(server: SMTPValues, reasons: dict[str, Text]) -> dict[str, Text]:
    """Whatever is encrypted where the server offers it is judged when that is known."""
    is_open = {"security": server.security is Security.NONE, "verify_certificate": not server.verify_certificate}
    return {field: reasons[field] for field in reasons if is_open[field]}


def _token_host_problem(values: ConnectionValues, installation: Installation) -> dict[str, Text]:
    if installation.is_token_host(values):
        return {}
    reason = N_(
        "An access token goes to the provider's own servers alone: leave this empty for %(host)s. A gateway of your "
        "own has to be named in PORTAL_MAIL_ALLOW by whoever runs the portal's machine.",
        host=installation.usual_host(values),
    )
    return {"host": reason}
