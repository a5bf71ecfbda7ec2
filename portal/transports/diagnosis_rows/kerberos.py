"""Rows for signing in as the host itself: Kerberos by SASL GSSAPI (RFC 4752), and NTLM.

What to do is MIT Kerberos 5's documentation, "Keytab", "krb5.conf" and "Principal names and DNS"; pyspnego's
README for NTLM's credential file.
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import HOST_ADMINISTRATOR, YOU, Row
from portal.wording import N_

_OPERATOR = N_("whoever runs the portal's machine")
_REALM_ADMINISTRATOR = N_("whoever keeps the Kerberos realm or the Active Directory domain")

ROWS = (
    Row(
        code="smtp.kerberos_missing",
        cause=N_("This portal cannot sign in as its host yet: the part for it is not installed."),
        who=_OPERATOR,
        remedy=N_(
            "On the portal's machine run “apt install gcc python3-dev libkrb5-dev”, then “make kerberos” in the "
            "portal's folder, and start the portal again. Or set the authentication to user name and password."
        ),
    ),
    Row(
        code="smtp.kerberos_no_ticket",
        cause=N_("The portal's machine has no valid Kerberos ticket, and could not get one."),
        who=_OPERATOR,
        remedy=N_(
            "Put a keytab where the account that the portal runs as, and nobody else, can read it; name its path in "
            "KRB5_CLIENT_KTNAME and start the portal again. “kinit -k -i” under the same account shows whether it "
            "works. If there is a keytab already, its principal may have been removed or have a new key: export it "
            "again. If tickets come from elsewhere, KRB5CCNAME names where they are kept, and they may have run out."
        ),
    ),
    Row(
        code="smtp.kerberos_server_unknown",
        cause=N_("The Kerberos realm knows no service smtp/%(host)s."),
        who=_REALM_ADMINISTRATOR,
        remedy=N_(
            "Give the host in this connection as its full name in the realm, not as an address or alias. If it is "
            "right, add the service principal smtp/%(host)s to the realm (in Active Directory “setspn -S "
            "SMTP/%(host_argument)s” and the server's account) and its key to the server's keytab. If the server "
            "belongs to another realm, krb5.conf on the portal's machine needs a line for it under [domain_realm]."
        ),
    ),
    Row(
        code="smtp.kerberos_clock",
        cause=N_("The clocks of the portal's machine, of %(host)s and of the Kerberos realm differ too much."),
        who=_OPERATOR,
        remedy=N_(
            "Set the clock of the portal's machine by a time server: “timedatectl” shows whether it is. Kerberos bears "
            "five minutes. If it is right, the clock of %(host)s is wrong."
        ),
    ),
    Row(
        code="smtp.kerberos_unreachable",
        cause=N_("No server of the Kerberos realm answers the portal's machine."),
        who=_OPERATOR,
        remedy=N_(
            "The portal tries again. If it lasts, open port 88, TCP and UDP, from the portal's machine to the realm's "
            "servers, and check what krb5.conf says of them; “kinit -k -i” shows whether it works."
        ),
    ),
    Row(
        code="smtp.kerberos_layer_demanded",
        cause=N_("%(host)s wants the rest of the conversation encrypted by Kerberos, which the portal leaves to TLS."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Set the encryption of this connection to STARTTLS or implicit TLS: most servers then ask for nothing "
            "more. If it is so already, let the server take a sign-in without a security layer (Cyrus SASL calls "
            "that a min_ssf of 0)."
        ),
    ),
    Row(
        code="smtp.kerberos_refused",
        cause=N_("%(host)s does not accept the Kerberos identity of the portal's machine."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Let the identity send mail: the steps of the check name it. If the server's log speaks of a key or a "
            "“kvno”, the keytab of %(host)s is older than the key of smtp/%(host)s in the realm: export it again. If "
            "the clocks differ by more than five minutes, that is the reason."
        ),
    ),
    Row(
        code="smtp.ntlm_no_credentials",
        cause=N_(
            "NTLM at %(host)s takes a credential file on the portal's machine, and there is none that can be used."
        ),
        who=_OPERATOR,
        remedy=N_(
            "Best let %(host)s offer Kerberos (GSSAPI). Else write one line, DOMAIN:USER:PASSWORD, into a file that "
            "only the account that the portal runs as can read, name its path in NTLM_USER_FILE and start the portal "
            "again."
        ),
    ),
    Row(
        code="smtp.ntlm_needs_verified_tls",
        cause=N_(
            "NTLM at %(host)s needs an encrypted connection whose certificate is checked: whoever reads its answer can "
            "sign in with it elsewhere."
        ),
        who=YOU,
        remedy=N_(
            "Set the encryption of this connection to STARTTLS or implicit TLS, and check the server's certificate: "
            "one of your own authority goes to “Own certificate authority”. Or let %(host)s offer Kerberos (GSSAPI)."
        ),
    ),
    Row(
        code="smtp.ntlm_refused",
        cause=N_("%(host)s does not accept the NTLM account of the portal's machine."),
        who=_OPERATOR,
        remedy=N_(
            "Check domain, user and password in the first line of the file that NTLM_USER_FILE names, and that the "
            "account is neither locked nor kept from sending by SMTP or from using NTLM."
        ),
    ),
)
