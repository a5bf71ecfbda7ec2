"""Rows for Google's consent and token: the application at Google Cloud, the account's grant, service accounts.

Most of the first ones are shown on Google's own pages and never come back: people paste what they saw.
Sources: developers.google.com, "OAuth 2.0 for web server applications" and "OAuth 2.0 policies";
support.google.com, "Manage third-party app access" and "Domain-wide delegation".
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import GOOGLE_ADMINISTRATOR, MAILBOX_OWNER, NOBODY, YOU, Row
from portal.wording import N_

_RECONNECT = N_(
    "Press Connect on this connection's page, sign in as %(mailbox)s and allow what Google asks. Waiting messages "
    "leave by themselves afterwards."
)

ROWS = (
    Row(
        code="google.redirect_uri_mismatch",
        cause=N_("Google does not know the portal's redirect URI for the client ID %(client_id)s."),
        who=YOU,
        remedy=N_(
            "Copy the redirect URI from the connection's form, character for character, to "
            "https://console.cloud.google.com/auth/clients: the client, Authorized redirect URIs. It can take some "
            "minutes until Google knows it."
        ),
    ),
    Row(
        code="google.request_refused",
        cause=N_("Google finds that the request for consent does not comply with its rules."),
        who=YOU,
        remedy=N_(
            "Most often it is the portal's address: Google takes https with a public host name, or http://localhost, "
            "no IP address and no internal name. Set PORTAL_PUBLIC_URL to such an address; the name need not be "
            "reachable from the internet."
        ),
    ),
    Row(
        code="google.consent_declined",
        cause=N_("The consent at Google was cancelled, so the portal may not send as %(mailbox)s."),
        who=MAILBOX_OWNER,
        remedy=_RECONNECT,
    ),
    Row(
        code="google.not_a_test_user",
        cause=N_(
            "The application at Google is in testing, and the account that signed in is not among its test users."
        ),
        who=YOU,
        remedy=N_(
            "Open https://console.cloud.google.com/auth/audience: make the user type Internal (Google Workspace), or "
            "press Publish app. Adding the account under Test users works too, but then the consent ends after 7 days."
        ),
    ),
    Row(
        code="google.app_unverified",
        cause=N_("Google warns that it has not verified the application that asks for consent."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "If the application is your own, press Advanced on Google's page and go on. The user type Internal "
            "(https://console.cloud.google.com/auth/audience) does away with the warning in Google Workspace."
        ),
    ),
    Row(
        code="google.other_organisation",
        cause=N_("The application at Google is for the accounts of one organisation, and this account is outside it."),
        who=YOU,
        remedy=N_(
            "Sign in with an account of the organisation that owns the application, or change the user type to "
            "External at https://console.cloud.google.com/auth/audience."
        ),
    ),
    Row(
        code="google.admin_policy",
        cause=N_("The rules of your Google Workspace do not let this application use Gmail."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_(
            "In the Admin console (admin.google.com) open Security, Access and data control, API controls, Manage app "
            "access, add the client ID %(client_id)s and mark it as Trusted."
        ),
    ),
    Row(
        code="google.embedded_browser",
        cause=N_("Google does not let people sign in from a browser that is built into another program."),
        who=YOU,
        remedy=N_(
            "Open the portal in an ordinary browser, such as Chrome, Edge, Firefox or Safari, and connect again."
        ),
    ),
    Row(
        code="google.client_deleted",
        cause=N_("The client %(client_id)s was deleted at Google; Google also deletes clients that are long unused."),
        who=YOU,
        remedy=N_(
            "Restore it within 30 days at https://console.cloud.google.com/auth/clients (Deleted credentials), or make "
            "a new one and type its client ID and secret here."
        ),
    ),
    Row(
        code="google.client_refused",
        cause=N_("Google does not accept the client ID %(client_id)s with the client secret that is stored here."),
        who=YOU,
        remedy=N_(
            "Open the client at https://console.cloud.google.com/auth/clients and compare the client ID. Google shows "
            "a secret only when it is made: press Add secret, and type the new one here."
        ),
    ),
    Row(
        code="google.consent_missing",
        cause=N_("Nobody has agreed yet at Google that this connection may send, or its settings changed since then."),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page, sign in with the account that mail is sent by, and allow what "
            "Google asks. Waiting messages leave by themselves afterwards."
        ),
    ),
    Row(
        code="google.grant_dead",
        cause=N_("The consent of %(mailbox)s has ended: it was withdrawn, ran out, or the password was changed."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Press Connect on this connection's page and sign in as %(mailbox)s. If it ends again every 7 days, the "
            "application is still in testing: press Publish app at https://console.cloud.google.com/auth/audience, or "
            "make its user type Internal."
        ),
    ),
    Row(
        code="google.code_refused",
        cause=N_("Google did not accept the answer of the consent: it was used before, is too old, or does not fit."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Press Connect on this connection's page once more and finish within a few minutes. If it fails again, "
            "compare the redirect URI with the one at Google and check the clock of the portal's machine."
        ),
    ),
    Row(
        code="google.reauthentication_needed",
        cause=N_("Your organisation's rules want %(mailbox)s to sign in again from time to time."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_(
            "Press Connect on this connection's page. To end the repetition, exempt the application in the Admin "
            "console (admin.google.com): Security, Access and data control, Google Cloud session control; or use a "
            "service account with domain-wide delegation."
        ),
    ),
    Row(
        code="google.account_gone",
        cause=N_("Google says that the account %(mailbox)s is deleted, suspended or switched off."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_("Restore the account in the Admin console (admin.google.com, Directory, Users), or connect another."),
    ),
    Row(
        code="google.refresh_token_missing",
        cause=N_("Google gave the portal access for an hour only, without a refresh token."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Remove the application at https://myaccount.google.com/connections, signed in as %(mailbox)s, then press "
            "Connect on this connection's page: Google then asks for consent anew."
        ),
    ),
    Row(
        code="google.scope_missing",
        cause=N_("The consent of %(mailbox)s does not include sending mail: its box was left empty."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Press Connect on this connection's page and tick the box for sending mail on Google's page. It is not "
            "shown? Then add the scope gmail.send at https://console.cloud.google.com/auth/scopes."
        ),
    ),
    Row(
        code="google.scope_invalid",
        cause=N_("Google does not know the permission that the portal asked for, or not for this kind of client."),
        who=YOU,
        remedy=N_(
            "Check the scope in the connection's form, and that the client is a Web application "
            "(https://console.cloud.google.com/auth/clients)."
        ),
    ),
    Row(
        code="google.delegation_missing",
        cause=N_("The service account may not act for %(mailbox)s: no domain-wide delegation covers the permission."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_(
            "In the Admin console (admin.google.com) open Security, Access and data control, API controls, Manage "
            "domain-wide delegation, Add new: the service account's numeric client ID, and exactly the scope "
            "https://www.googleapis.com/auth/gmail.send (https://mail.google.com/ to send by SMTP)."
        ),
    ),
    Row(
        code="google.mailbox_unknown",
        cause=N_("Google knows no account %(mailbox)s in the organisation that the service account may act for."),
        who=YOU,
        remedy=N_(
            "Correct the mailbox in the connection's form. It must be a user's own address: an alias, a group or an "
            "address of another organisation does not do."
        ),
    ),
    Row(
        code="google.key_refused",
        cause=N_("Google does not accept the service account's key: it was deleted, or is not complete."),
        who=YOU,
        remedy=N_(
            "Make a new key at https://console.cloud.google.com/iam-admin/serviceaccounts (the account, Keys, Add key, "
            "JSON) and paste the whole file here."
        ),
    ),
    Row(
        code="google.clock_wrong",
        cause=N_("Google finds that the time in the portal's request is wrong."),
        who=YOU,
        remedy=N_("Set the clock of the portal's machine, best by switching on time synchronisation (NTP)."),
    ),
    Row(
        code="google.wrong_account",
        cause=N_("The account that gave its consent is not %(mailbox)s, the mailbox of this connection."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Press Connect on this connection's page and choose %(mailbox)s on Google's page, or change the mailbox "
            "in the form to the account that was chosen."
        ),
    ),
    Row(
        code="google.address_unverified",
        cause=N_("The account that gave its consent bears an address that Google has not verified."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Whoever owns the account opens https://myaccount.google.com/email and confirms its address. Then press "
            "Connect on this connection's page, or sign in there with another account."
        ),
    ),
    Row(
        code="google.sign_in_unavailable",
        cause=N_("Google's sign-in is out of order for the moment, or asks to slow down."),
        who=NOBODY,
        remedy=N_("If it lasts longer than an hour, look at https://www.google.com/appsstatus."),
    ),
)
