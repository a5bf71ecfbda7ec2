"""Rows for Gmail and Google Workspace: smtp.gmail.com and smtp-relay.gmail.com.

Sources: support.google.com, "SMTP error reference", "Gmail sending limits" and "SMTP relay service".
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import (
    AT_GOOGLE,
    GOOGLE_ADMINISTRATOR,
    MAILBOX_OWNER,
    NOBODY,
    REFUSAL,
    SIGN_IN,
    YOU,
    Provider,
    Row,
    Said,
    When,
    token,
)
from portal.wording import N_

ROWS = (
    Row(
        code="google.token_refused",
        cause=N_("Google does not accept the access token for %(username)s."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Connect again and sign in as %(username)s: the token has expired, belongs to another account, or lacks "
            "the scope https://mail.google.com/, the only one that SMTP takes. Where that scope cannot be had, let the "
            "connection send by the Gmail API."
        ),
        when=When(provider=Provider.GOOGLE, signs_in_with_token=True),
        said=(
            Said(codes=(535,), steps=SIGN_IN),
            Said(codes=REFUSAL, token=token("BadCredentials"), steps=SIGN_IN),
        ),
    ),
    Row(
        code="google.app_password_needed",
        cause=N_(
            "Google does not take the account's own password for %(username)s, because 2-step verification is on."
        ),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Make an app password (16 letters) for %(username)s and type it here in place of the account's "
            "password: https://myaccount.google.com/apppasswords"
        ),
        said=(Said(codes=REFUSAL, token=token("application-specific password", "InvalidSecondFactor"), steps=SIGN_IN),),
    ),
    Row(
        code="google.browser_sign_in_needed",
        cause=N_("Google finds this sign-in of %(username)s unusual and wants to see the person in a browser first."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Sign in to the account once in a browser and confirm that it was you, then check again. An app "
            "password avoids this in future."
        ),
        said=(
            Said(
                codes=REFUSAL,
                token=token("WebLoginRequired", "(log|sign) ?in (with|via) your web browser"),
                steps=SIGN_IN,
            ),
            Said(codes=(534,), enhanced=("x.7.14",), steps=SIGN_IN),
        ),
    ),
    Row(
        code="smtp.bad_credentials",
        cause=N_("Google does not accept the user name %(username)s with this password."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Make an app password (16 letters, needs 2-step verification) and type it here: Google takes no "
            "account passwords from programs any more, and a changed account password ends all app passwords. "
            "https://myaccount.google.com/apppasswords"
        ),
        when=AT_GOOGLE,
        said=(
            Said(codes=(535,), steps=SIGN_IN),
            Said(codes=REFUSAL, token=token("BadCredentials"), steps=SIGN_IN),
        ),
    ),
    Row(
        code="smtp.ehlo_name_refused",
        cause=N_("Google's relay does not accept the name by which the portal introduces itself (EHLO)."),
        who=YOU,
        remedy=N_(
            "Set the connection's EHLO name to the portal's full public host name, such as portal.contoso.com; "
            "Google hangs up on localhost and on single words."
        ),
        when=AT_GOOGLE,
        said=(
            Said(codes=(421,), token=token("\\(EHLO\\)", "\\(HELO\\)")),
            Said(codes=(501,), enhanced=("x.5.4",)),
        ),
    ),
    Row(
        code="google.daily_limit",
        cause=N_("%(username)s has sent all that Google allows in 24 hours: 2,000 messages, or 500 without Workspace."),
        who=NOBODY,
        remedy=N_(
            "Google opens the account again within 24 hours. For more mail, use the SMTP relay of Google Workspace "
            "(smtp-relay.gmail.com, 10,000 recipients a day) or another account."
        ),
        said=(Said(codes=REFUSAL, token=token("daily user sending (limit|quota)")),),
    ),
    Row(
        code="google.relay_daily_limit",
        cause=N_("%(sender)s has sent as much through Google's relay as it allows in 24 hours."),
        who=NOBODY,
        remedy=N_(
            "Google opens it again within 24 hours. The limit (10,000 recipients) counts for each envelope "
            "sender: spread the mail over more senders."
        ),
        said=(Said(codes=REFUSAL, token=token("daily SMTP relay (sending )?limit")),),
    ),
    Row(
        code="google.relay_peak_limit",
        cause=N_("Your organisation has sent more through Google's relay in ten minutes than it allows."),
        who=NOBODY,
        remedy=N_("Lower the connection's messages per minute if it comes back."),
        said=(Said(codes=REFUSAL, token=token("peak SMTP relay limit")),),
    ),
    Row(
        code="google.relay_denied",
        cause=N_("Google's relay does not know the portal's IP address, or does not allow the sender %(sender)s."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_(
            "In the Admin console open Apps, Google Workspace, Gmail, Routing, SMTP relay service: add the "
            "portal's public IP address and allow senders of %(domain)s, or require SMTP authentication and give "
            "this connection an account."
        ),
        said=(Said(codes=REFUSAL, token=token("invalid credentials for relay", "mail relay denied")),),
    ),
    Row(
        code="smtp.auth_required",
        cause=N_("Google takes mail here only from those who sign in, and this connection does not."),
        who=YOU,
        remedy=N_(
            "Set the authentication to user name and password: the Google address and an app password, made at "
            "https://myaccount.google.com/apppasswords"
        ),
        when=When(provider=Provider.GOOGLE, signs_in=False),
        said=(Said(codes=(530,), token=token("authentication required")),),
    ),
    Row(
        code="google.rate_limited",
        cause=N_("Google slows down mail from the portal's IP address: there is unusually much, or it is not allowed."),
        who=NOBODY,
        remedy=N_(
            "If it lasts, lower the connection's messages per minute, look for a program that sends spam from the "
            "same address, and check that the address stands in the relay's list."
        ),
        when=AT_GOOGLE,
        said=(
            Said(codes=(421,), enhanced=("4.7.0",)),
            Said(codes=REFUSAL, enhanced=("x.7.28",)),
        ),
    ),
)
