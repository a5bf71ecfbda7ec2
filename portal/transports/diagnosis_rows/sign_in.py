"""Rows for sign-in at any server (RFC 4954), and for servers that want one and got none."""

from __future__ import annotations

from portal.transports import Step
from portal.transports.diagnosis_rows.row import (
    HOST_ADMINISTRATOR,
    NOBODY,
    PERMANENT,
    REFUSAL,
    SIGN_IN,
    TEMPORARY,
    TRANSACTION,
    YOU,
    Row,
    Said,
    When,
    token,
)
from portal.wording import N_

_NOT_OFFERED = (
    Said(codes=(500, 502), steps=SIGN_IN),
    Said(
        codes=PERMANENT,
        token=token("\\bauth\\w* (is )?not (enabled|available|supported)", "not advertised"),
        steps=SIGN_IN,
    ),
)
_MECHANISM_NOT_OFFERED = (Said(codes=(504,), steps=SIGN_IN), Said(codes=REFUSAL, enhanced=("x.7.4",), steps=SIGN_IN))
_TOO_LONG = (Said(codes=(500, 501), token=token("line too long", "too long"), steps=SIGN_IN),)
_UNAVAILABLE = (Said(codes=TEMPORARY, steps=SIGN_IN),)
_BAD_CREDENTIALS = (
    Said(codes=(535,)),
    Said(codes=PERMANENT, enhanced=("x.7.8",), steps=SIGN_IN),
    Said(
        codes=PERMANENT,
        token=token(
            "authentication (failed|failure|unsuccessful|credentials invalid)",
            "(invalid|incorrect|bad|wrong) (login|credentials|user ?name|password|user|token)",
            "login (failed|incorrect|denied)",
        ),
        steps=SIGN_IN,
    ),
)

_BY_TOKEN = When(signs_in_with_token=True)

_AUTH_REQUIRED = (
    Said(codes=(530,), steps=frozenset(Step) - SIGN_IN),
    Said(
        codes=PERMANENT,
        token=token(
            "\\bauth\\w* (is )?(required|needed)",
            "(client|user|session|you) .{0,20}not (been )?authenticated",
            "(must|need to) (first )?(authenticate|log ?in|sign in)",
            "\\bauth\\w* first",
            "not logged in",
            "unauthenticated senders?",
        ),
        steps=TRANSACTION,
    ),
)

ROWS = (
    Row(
        code="smtp.command_too_long",
        cause=N_("The access token was longer than %(host)s takes."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Allow sign-in lines of 12,288 bytes, as RFC 4954 asks of every server; or have shorter tokens issued, "
            "with fewer claims in them."
        ),
        when=_BY_TOKEN,
        said=_TOO_LONG,
    ),
    Row(
        code="smtp.command_too_long",
        cause=N_("The sign-in line was longer than %(host)s takes."),
        who=YOU,
        remedy=N_(
            "Set the authentication to AUTH LOGIN only, which sends user name and password in lines of their own. If "
            "the password is very long, a shorter one helps too."
        ),
        said=_TOO_LONG,
    ),
    Row(
        code="smtp.auth_needs_tls",
        cause=N_("%(host)s lets nobody sign in before the connection is encrypted."),
        who=YOU,
        remedy=N_("Set the encryption to STARTTLS (port 587) or to implicit TLS (port 465)."),
        said=(
            Said(codes=(538,)),
            Said(codes=(530,), token=token("starttls"), steps=SIGN_IN),
            Said(
                codes=REFUSAL,
                token=token("(encryption|tls|ssl|secure connection) (is )?required", "plaintext .*disallowed"),
                steps=SIGN_IN,
            ),
        ),
    ),
    Row(
        code="smtp.auth_not_offered",
        cause=N_("%(host)s offers no sign-in on port %(port)s as long as the connection is not encrypted."),
        who=YOU,
        remedy=N_(
            "Set the encryption to STARTTLS or implicit TLS: most servers offer a sign-in only then. If the "
            "server is a relay that knows the portal by its address, set the authentication to none."
        ),
        when=When(security=frozenset({"none"})),
        said=_NOT_OFFERED,
    ),
    Row(
        code="smtp.auth_not_offered",
        cause=N_("%(host)s offers no sign-in on port %(port)s, but this connection has a user name to sign in with."),
        who=YOU,
        remedy=N_(
            "Use the submission port, 587 or 465: port 25 is often for mail between servers, without sign-in. "
            "If the server is a relay that knows the portal by its address, set the authentication to none."
        ),
        said=_NOT_OFFERED,
    ),
    Row(
        code="smtp.auth_mechanism_not_offered",
        cause=N_("%(host)s does not offer to sign in by access token."),
        who=YOU,
        remedy=N_(
            "Check host and port: at Google it is smtp.gmail.com, at Microsoft 365 smtp.office365.com, both on port "
            "587. For a server that takes no access tokens, set the authentication to user name and password."
        ),
        when=_BY_TOKEN,
        said=_MECHANISM_NOT_OFFERED,
    ),
    Row(
        code="smtp.auth_mechanism_not_offered",
        cause=N_("%(host)s does not offer the way of signing in that this connection asks for."),
        who=YOU,
        remedy=N_(
            "Set the authentication to user name and password: that takes the best way that the server offers. Some "
            "servers offer more once the connection is encrypted."
        ),
        said=_MECHANISM_NOT_OFFERED,
    ),
    Row(
        code="smtp.sign_in_throttled",
        cause=N_("%(host)s takes no more sign-ins from this account or address for a while: there were too many."),
        who=NOBODY,
        remedy=N_(
            "Wait a quarter of an hour. If it comes back, look for another program that signs in with the same "
            "account and an old password."
        ),
        said=(
            Said(
                codes=REFUSAL,
                token=token("too many (failed |invalid |login |\\bauth\\w* |sign-?in )+", "login attempts exceeded"),
                steps=SIGN_IN,
            ),
        ),
    ),
    Row(
        code="smtp.sign_in_unavailable",
        cause=N_("%(host)s cannot check access tokens at the moment."),
        who=NOBODY,
        remedy=N_(
            "If it lasts longer than an hour, tell the administrator of %(host)s: the service that the server asks "
            "about tokens does not answer."
        ),
        when=_BY_TOKEN,
        said=_UNAVAILABLE,
    ),
    Row(
        code="smtp.sign_in_unavailable",
        cause=N_("%(host)s cannot check user names and passwords at the moment."),
        who=NOBODY,
        remedy=N_(
            "If it lasts longer than an hour, tell the administrator of %(host)s: the service behind the "
            "sign-in (directory or database) does not answer."
        ),
        said=_UNAVAILABLE,
    ),
    Row(
        code="smtp.token_refused",
        cause=N_("The access token for %(username)s lacks the scope that %(host)s asks for."),
        who=YOU,
        remedy=N_("Have a token issued with the scope that the server names in its answer, and connect again."),
        when=_BY_TOKEN,
        said=(Said(codes=PERMANENT, token=token("insufficient_scope"), steps=SIGN_IN),),
    ),
    Row(
        code="smtp.token_refused",
        cause=N_("%(host)s does not accept the access token for %(username)s."),
        who=YOU,
        remedy=N_(
            "Give a new token: the old one may have expired. Check that it was issued for %(username)s and for this "
            "server; where the server's answer names a scope, that is the one it wants."
        ),
        when=_BY_TOKEN,
        said=_BAD_CREDENTIALS,
    ),
    Row(
        code="smtp.token_host_refused",
        cause=N_("%(host)s is no server of the provider's: whoever takes an access token could send as the mailbox."),
        who=YOU,
        remedy=N_(
            "Leave the host empty, so that mail goes to the provider's own server. A gateway of your own has to be "
            "named in PORTAL_MAIL_ALLOW by whoever runs the portal's machine."
        ),
    ),
    Row(
        code="smtp.token_needs_verified_tls",
        cause=N_("An access token goes only where the server's certificate is checked, and here it is not."),
        who=YOU,
        remedy=N_(
            "Switch the check of the certificate on. Where it comes from your own authority, paste the authority's "
            "certificate into “Own certificate authority”."
        ),
    ),
    Row(
        code="smtp.bad_credentials",
        cause=N_("%(host)s does not accept the user name %(username)s with this password."),
        who=YOU,
        remedy=N_(
            "Type user name and password again. Try the full address as user name, or the part before the @; "
            "check that the account is not locked and may send by SMTP. Signing in elsewhere with the same "
            "words shows whether they are right."
        ),
        said=_BAD_CREDENTIALS,
    ),
    Row(
        code="smtp.auth_required",
        cause=N_("%(host)s takes mail only from those who sign in, and this connection does not."),
        who=YOU,
        remedy=N_(
            "Set the authentication to user name and password, and give both. If the portal should be known by "
            "its address instead, the administrator of %(host)s adds that address to the relay."
        ),
        when=When(signs_in=False),
        said=_AUTH_REQUIRED,
    ),
    Row(
        code="smtp.auth_required",
        cause=N_("%(host)s takes mail only from those who sign in, and does not count the portal among them."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Check that the account %(username)s may send mail by SMTP, and that the connection uses the "
            "submission port, 587 or 465."
        ),
        said=_AUTH_REQUIRED,
    ),
)
