"""What servers really say, row by row: each reply leads to the code that scripts rely on."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from portal.transports import Reply, Step
from portal.transports.diagnosis import Target, diagnose, matching_row
from portal.transports.diagnosis_rows import ROWS

PASSWORD = Target(
    host="mail.contoso.test",
    port=587,
    security="starttls",
    auth="password",
    username="relay",
    sender="portal@contoso.test",
    auth_offered=True,
)
TOKEN = replace(PASSWORD, auth="oauthbearer")
ANONYMOUS = replace(PASSWORD, auth="none", username="", auth_offered=False)
ANONYMOUS_THOUGH_OFFERED = replace(ANONYMOUS, auth_offered=True)
UNENCRYPTED = replace(PASSWORD, security="none", port=25)
GMAIL = replace(PASSWORD, host="smtp.gmail.com", username="portal@contoso.test")
GMAIL_TOKEN = replace(GMAIL, auth="xoauth2")
GMAIL_ANONYMOUS = replace(GMAIL, auth="none", username="")
GMAIL_RELAY = replace(ANONYMOUS, host="smtp-relay.gmail.com")
MICROSOFT = replace(PASSWORD, host="smtp.office365.com", username="portal@contoso.test")
MICROSOFT_TOKEN = replace(MICROSOFT, auth="xoauth2")
MICROSOFT_ANONYMOUS = replace(MICROSOFT, auth="none", username="")
MICROSOFT_RELAY = replace(ANONYMOUS, host="contoso-com.mail.protection.outlook.com", port=25)

SERVER = "[AM0PR01CA0123.eurprd01.prod.exchangelabs.com 2026-11-20T10:11:12.345Z 08DE2A]"
UNSUCCESSFUL = "Authentication unsuccessful, "


def reply(line: str) -> Reply:
    """`535 5.7.8 text` as a reply; the enhanced status code is optional."""
    code, enhanced, text = re.fullmatch(r"(\d{3}) (?:([245]\.\d+\.\d+)(?: |$))?(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
    return Reply(int(code), text, enhanced)


GREETING, EHLO, TLS, AUTH = Step.GREETING, Step.CAPABILITIES, Step.TLS, Step.AUTHENTICATE
MAIL, RCPT, DATA, CONTENT = Step.SENDER, Step.RECIPIENT, Step.DATA, Step.CONTENT

# Step, target, the server's reply, and the code it is to be known by.
REPLIES = [
    # any server: the connection
    (Step.TOKEN, GMAIL, "407 Proxy Authentication Required", "network.proxy_sign_in_needed"),
    (
        GREETING,
        PASSWORD,
        "421 mail.contoso.test Service not available, closing transmission channel",
        "smtp.server_busy",
    ),
    (MAIL, PASSWORD, "421 4.3.2 System not accepting network messages", "smtp.server_busy"),
    (MAIL, PASSWORD, "452 4.3.1 Insufficient system storage", "smtp.server_full"),
    (MAIL, PASSWORD, "503 5.5.1 Error: nested MAIL command", "smtp.bad_sequence"),
    (AUTH, PASSWORD, "503 5.5.1 Already authenticated", "smtp.bad_sequence"),
    (AUTH, GMAIL, "503 5.7.0 No identity changes permitted. - gsmtp", "smtp.bad_sequence"),
    (RCPT, PASSWORD, "555 5.5.2 Syntax error. gsmtp", "smtp.command_refused"),
    (EHLO, PASSWORD, "500 5.5.1 Command unrecognized", "smtp.command_refused"),
    (RCPT, PASSWORD, "450 4.3.2 Queue file write error, try again", "smtp.temporary_refusal"),
    (RCPT, PASSWORD, "451 Requested action aborted: local error in processing", "smtp.temporary_refusal"),
    (RCPT, PASSWORD, "452 4.4.5 Insufficient disk space; try again later", "smtp.temporary_refusal"),
    # any server: TLS
    (TLS, PASSWORD, "454 4.7.0 TLS not available due to local problem", "tls.starttls_refused"),
    (TLS, PASSWORD, "502 5.5.1 Error: command not implemented", "tls.starttls_refused"),
    (MAIL, UNENCRYPTED, "530 5.7.0 Must issue a STARTTLS command first", "tls.required"),
    (MAIL, UNENCRYPTED, "451 5.7.3 STARTTLS is required to send mail", "tls.required"),
    # any server: its name for us
    (EHLO, PASSWORD, "501 5.5.4 Invalid domain name", "smtp.ehlo_name_refused"),
    (EHLO, PASSWORD, "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", "smtp.ehlo_name_refused"),
    (
        RCPT,
        PASSWORD,
        "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
        "smtp.ehlo_name_refused",
    ),
    # any server: sign-in
    (AUTH, PASSWORD, "500 5.5.2 Line too long", "smtp.command_too_long"),
    (AUTH, UNENCRYPTED, "538 5.7.11 Encryption required for requested authentication mechanism", "smtp.auth_needs_tls"),
    (AUTH, UNENCRYPTED, "530 5.7.0 Must issue a STARTTLS command first", "smtp.auth_needs_tls"),
    (
        AUTH,
        UNENCRYPTED,
        "523 5.7.10 Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
        "smtp.auth_needs_tls",
    ),
    (AUTH, UNENCRYPTED, "503 5.5.1 Error: authentication not enabled", "smtp.auth_not_offered"),
    (AUTH, UNENCRYPTED, "502 5.5.1 Error: command not implemented", "smtp.auth_not_offered"),
    (AUTH, PASSWORD, "503 5.5.1 Error: authentication not enabled", "smtp.auth_not_offered"),
    (AUTH, PASSWORD, "502 5.5.2 Error: command not recognized", "smtp.auth_not_offered"),
    (AUTH, PASSWORD, "503 AUTH command used when not advertised", "smtp.auth_not_offered"),
    (AUTH, PASSWORD, "504 5.7.4 Unrecognized authentication type", "smtp.auth_mechanism_not_offered"),
    (AUTH, PASSWORD, "535 5.7.4 Security features not supported", "smtp.auth_mechanism_not_offered"),
    (AUTH, PASSWORD, "421 4.7.0 Too many failed authentication attempts", "smtp.sign_in_throttled"),
    (AUTH, PASSWORD, "535 Login attempts exceeded, try again later", "smtp.sign_in_throttled"),
    (
        AUTH,
        PASSWORD,
        "454 4.7.0 Temporary authentication failure: Connection lost to authentication server",
        "smtp.sign_in_unavailable",
    ),
    (AUTH, PASSWORD, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", "smtp.bad_credentials"),
    (AUTH, PASSWORD, "535 Incorrect authentication data", "smtp.bad_credentials"),
    (AUTH, PASSWORD, "550 5.7.8 Access denied", "smtp.bad_credentials"),
    (AUTH, PASSWORD, "554 5.7.0 Invalid login or password", "smtp.bad_credentials"),
    # any server: sign-in by access token
    (AUTH, TOKEN, "500 5.5.6 Authentication exchange line is too long", "smtp.command_too_long"),
    (AUTH, TOKEN, "504 5.5.4 Unrecognized authentication type", "smtp.auth_mechanism_not_offered"),
    (AUTH, TOKEN, "454 4.7.0 Temporary authentication failure", "smtp.sign_in_unavailable"),
    (AUTH, TOKEN, "421 4.7.0 Too many failed authentication attempts", "smtp.sign_in_throttled"),
    (AUTH, TOKEN, "535 5.7.8 Authentication failed status invalid_token, scope mail", "smtp.token_refused"),
    (AUTH, TOKEN, "535 5.7.8 Authentication failed status insufficient_scope, scope mail", "smtp.token_refused"),
    (AUTH, TOKEN, "554 5.7.0 Invalid token", "smtp.token_refused"),
    (AUTH, TOKEN, "535 5.7.3 Authentication unsuccessful", "smtp.token_refused"),
    (MAIL, ANONYMOUS, "530 5.7.1 Client was not authenticated", "smtp.auth_required"),
    (RCPT, ANONYMOUS, "550 5.7.1 Authentication required", "smtp.auth_required"),
    (MAIL, PASSWORD, "530 5.5.1 Authentication Required", "smtp.auth_required"),
    (RCPT, PASSWORD, "553 5.7.1 <portal@contoso.test>: Sender address rejected: not logged in", "smtp.auth_required"),
    (MAIL, PASSWORD, "550 Unauthenticated senders not allowed", "smtp.auth_required"),
    # any server: the sender
    (
        GREETING,
        ANONYMOUS,
        "554 5.7.1 Service unavailable; Client host [203.0.113.9] blocked using zen.spamhaus.org; "
        "https://www.spamhaus.org/query/ip/203.0.113.9",
        "smtp.address_blocklisted",
    ),
    (
        MAIL,
        ANONYMOUS,
        "550 5.7.1 Unfortunately, messages from [203.0.113.9] weren't sent. Please contact your Internet service "
        "provider since part of their network is on our block list (S3140).",
        "smtp.address_blocklisted",
    ),
    (
        RCPT,
        PASSWORD,
        "450 4.2.0 <ann@fabrikam.test>: Recipient address rejected: Greylisted, see "
        "http://postgrey.schweikert.ch/help/fabrikam.test.html",
        "smtp.greylisted",
    ),
    (RCPT, PASSWORD, "451 4.7.1 Greylisting in action, please come back later", "smtp.greylisted"),
    (
        RCPT,
        ANONYMOUS,
        "450 4.7.25 Client host rejected: cannot find your hostname, [203.0.113.9]",
        "smtp.reverse_dns_missing",
    ),
    (GREETING, ANONYMOUS, "554 No PTR record found for your address", "smtp.reverse_dns_missing"),
    (
        RCPT,
        ANONYMOUS,
        "554 5.7.1 <unknown[10.0.0.7]>: Client host rejected: Access denied",
        "smtp.client_refused",
    ),
    (
        CONTENT,
        PASSWORD,
        "550 5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to "
        "authenticate with either SPF or DKIM.",
        "smtp.sender_domain_unauthenticated",
    ),
    (
        RCPT,
        PASSWORD,
        "550 5.7.23 The message was rejected because of Sender Policy Framework violation",
        "smtp.sender_domain_unauthenticated",
    ),
    (RCPT, PASSWORD, "550 SPF check failed for contoso.test", "smtp.sender_domain_unauthenticated"),
    (
        RCPT,
        PASSWORD,
        "450 4.1.8 <portal@contoso.test>: Sender address rejected: Domain not found",
        "smtp.sender_domain_unknown",
    ),
    (MAIL, PASSWORD, "501 Domain of sender address portal@contoso.test does not exist", "smtp.sender_domain_unknown"),
    (RCPT, ANONYMOUS_THOUGH_OFFERED, "554 5.7.1 <ann@fabrikam.test>: Relay access denied", "smtp.relaying_denied"),
    (RCPT, ANONYMOUS, "550 5.7.1 Unable to relay", "smtp.relaying_denied"),
    (RCPT, ANONYMOUS, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "smtp.relaying_denied"),
    (RCPT, ANONYMOUS, "454 4.7.1 <ann@fabrikam.test>: Relay access denied", "smtp.relaying_denied"),
    (RCPT, ANONYMOUS, "550 relay not permitted", "smtp.relaying_denied"),
    (RCPT, ANONYMOUS, "551 User not here; try <ann@mail.fabrikam.test>", "smtp.relaying_denied"),
    (
        RCPT,
        PASSWORD,
        "553 5.7.1 <portal@contoso.test>: Sender address rejected: not owned by user relay",
        "smtp.sender_refused",
    ),
    (MAIL, PASSWORD, "553 5.1.8 Sender domain is not allowed here", "smtp.sender_refused"),
    (MAIL, ANONYMOUS, "550 5.7.1 Sender rejected", "smtp.sender_refused"),
    (
        CONTENT,
        PASSWORD,
        "554 Message rejected: Email address is not verified. The following identities failed the check in region "
        "EU-WEST-1: portal@contoso.test",
        "smtp.sender_refused",
    ),
    # any server: recipients
    (RCPT, PASSWORD, "452 4.5.3 Error: too many recipients", "smtp.too_many_recipients"),
    (RCPT, PASSWORD, "452 Too many recipients received this hour", "smtp.too_many_recipients"),
    (
        RCPT,
        PASSWORD,
        "452 4.2.2 The email account that you tried to reach is over quota.",
        "smtp.recipient_mailbox_full",
    ),
    (RCPT, PASSWORD, "552 Mailbox full", "smtp.recipient_mailbox_full"),
    (
        RCPT,
        PASSWORD,
        "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages "
        "from being delivered.",
        "smtp.recipient_rate_limited",
    ),
    (RCPT, PASSWORD, "550 5.2.1 The email account that you tried to reach is disabled.", "smtp.recipient_disabled"),
    (RCPT, PASSWORD, "554 delivery error: This account has been disabled or discontinued", "smtp.recipient_disabled"),
    (RCPT, PASSWORD, "550 5.1.2 Host unknown (Name server: host not found)", "smtp.recipient_domain_unknown"),
    (RCPT, PASSWORD, "553 5.1.2 We weren't able to find the recipient domain.", "smtp.recipient_domain_unknown"),
    (
        RCPT,
        PASSWORD,
        "550 5.7.1 <ann@fabrikam.example>: Recipient address rejected: Domain not found",
        "smtp.recipient_domain_unknown",
    ),
    (
        RCPT,
        PASSWORD,
        "550 5.1.1 <nobody@contoso.test>: Recipient address rejected: User unknown in virtual mailbox table",
        "smtp.recipient_unknown",
    ),
    (
        CONTENT,
        PASSWORD,
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "smtp.recipient_unknown",
    ),
    (RCPT, PASSWORD, "550 No such user here", "smtp.recipient_unknown"),
    (RCPT, PASSWORD, "550 Requested action not taken: mailbox unavailable", "smtp.recipient_unknown"),
    (DATA, PASSWORD, "554 5.5.1 Error: no valid recipients", "smtp.no_valid_recipients"),
    # any server: the message
    (MAIL, PASSWORD, "552 5.3.4 Message size exceeds fixed limit", "smtp.message_too_large"),
    (CONTENT, PASSWORD, "552 5.2.3 Your message exceeded Google's message size limits.", "smtp.message_too_large"),
    (CONTENT, PASSWORD, "554 Message is too large", "smtp.message_too_large"),
    (MAIL, PASSWORD, "552 maximum permitted size is 10485760", "smtp.message_too_large"),
    (RCPT, PASSWORD, "553 5.6.7 Non-ASCII addresses not permitted for that sender/recipient", "smtp.smtputf8_missing"),
    (MAIL, PASSWORD, "550 Mailbox requires SMTPUTF8", "smtp.smtputf8_missing"),
    (
        CONTENT,
        PASSWORD,
        "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds",
        "smtp.bare_newline",
    ),
    (CONTENT, PASSWORD, "521 5.5.2 Error: bare <LF> received", "smtp.bare_newline"),
    (
        CONTENT,
        PASSWORD,
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant and include a valid From address",
        "smtp.from_header_invalid",
    ),
    (
        CONTENT,
        PASSWORD,
        "550 5.7.1 Messages missing a valid address in From: header, or having no From: header, are not accepted.",
        "smtp.from_header_invalid",
    ),
    (
        CONTENT,
        PASSWORD,
        "550 5.7.1 Our system has detected that this message is likely unsolicited mail.",
        "smtp.judged_spam",
    ),
    (CONTENT, PASSWORD, "554 Throttling failure: Maximum sending rate exceeded.", "smtp.rate_limited"),
    (CONTENT, PASSWORD, "454 Throttling failure: Daily message quota exceeded.", "smtp.rate_limited"),
    (CONTENT, PASSWORD, "550 5.4.5 You have used up your messages for today", "smtp.quota_reached"),
    (AUTH, PASSWORD, "550 Maximum credits exceeded", "smtp.quota_reached"),
    # Google
    (
        AUTH,
        GMAIL_TOKEN,
        "535 5.7.8 Username and Password not accepted. For more information, go to\n"
        "https://support.google.com/mail/?p=BadCredentials 5b1f17b1804b1-4779e9c4a - gsmtp",
        "google.token_refused",
    ),
    (AUTH, GMAIL_TOKEN, "550 5.7.1 https://support.google.com/mail/?p=BadCredentials - gsmtp", "google.token_refused"),
    (
        AUTH,
        TOKEN,  # through a relay of one's own: Google is known by its words
        "535 5.7.8 Username and Password not accepted. For more information, go to "
        "https://support.google.com/mail/?p=BadCredentials 5b1f17b1804b1-4779e9c4a - gsmtp "
        "status 401, schemes bearer mac, scope https://mail.google.com/",
        "google.token_refused",
    ),
    (
        AUTH,
        GMAIL,
        "534 5.7.9 Application-specific password required. For more information, go to\n"
        "https://support.google.com/mail/?p=InvalidSecondFactor 5b1f17b1804b1-4779e9c4a - gsmtp",
        "google.app_password_needed",
    ),
    (
        AUTH,
        GMAIL,
        "534 5.7.14 <https://accounts.google.com/signin/continue?sarp=1> Please log in via your web browser and then "
        "try again. Learn more at https://support.google.com/mail/?p=WebLoginRequired - gsmtp",
        "google.browser_sign_in_needed",
    ),
    (AUTH, PASSWORD, "534 5.7.14 Continue elsewhere", "google.browser_sign_in_needed"),
    (
        AUTH,
        PASSWORD,  # through a relay of one's own: Google is known by its words
        "535 5.7.8 Username and Password not accepted. For more information, go to\n"
        "https://support.google.com/mail/?p=BadCredentials 5b1f17b1804b1-4779e9c4a - gsmtp",
        "smtp.bad_credentials",
    ),
    (AUTH, GMAIL, "550 5.7.1 https://support.google.com/mail/?p=BadCredentials - gsmtp", "smtp.bad_credentials"),
    (AUTH, GMAIL, "454 4.7.0 Too many login attempts, please try again later. - gsmtp", "smtp.sign_in_throttled"),
    (
        AUTH,
        GMAIL,
        "454 4.7.0 Cannot authenticate due to a temporary system problem. Try again later. - gsmtp",
        "smtp.sign_in_unavailable",
    ),
    (
        EHLO,
        GMAIL_RELAY,
        "421 4.7.0 Try again later, closing connection. (EHLO) 5b1f17b1804b1-4779e9c4a - gsmtp",
        "smtp.ehlo_name_refused",
    ),
    (
        EHLO,
        GMAIL_RELAY,
        '501 5.5.4 HELO/EHLO argument "" invalid, closing connection. - gsmtp',
        "smtp.ehlo_name_refused",
    ),
    (
        MAIL,
        GMAIL,
        "421 4.7.0 Our system has detected an unusual rate of mail originating from your IP address. - gsmtp",
        "google.rate_limited",
    ),
    (CONTENT, GMAIL, "550 5.7.28 An unusual rate of mail has come from your address. - gsmtp", "google.rate_limited"),
    (
        CONTENT,
        GMAIL,
        "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to\n"
        "https://support.google.com/a/answer/166852 - gsmtp",
        "google.daily_limit",
    ),
    (CONTENT, GMAIL_RELAY, "550 5.4.5 Daily SMTP relay limit exceeded for user. - gsmtp", "google.relay_daily_limit"),
    (CONTENT, GMAIL_RELAY, "450 4.2.1 Peak SMTP relay limit exceeded for customer. - gsmtp", "google.relay_peak_limit"),
    (
        MAIL,
        GMAIL_RELAY,
        "550 5.7.1 Invalid credentials for relay [203.0.113.9]. The IP address you've registered in your Workspace "
        "SMTP Relay service doesn't match the domain of the account this email is being sent from. - gsmtp",
        "google.relay_denied",
    ),
    (RCPT, GMAIL_RELAY, "550 5.7.0 Mail relay denied [203.0.113.9]. - gsmtp", "google.relay_denied"),
    (
        MAIL,
        GMAIL_ANONYMOUS,
        "530 5.7.0 Authentication Required. For more information, go to\n"
        "https://support.google.com/accounts/troubleshooter/2402620. - gsmtp",
        "smtp.auth_required",
    ),
    (RCPT, GMAIL, "452 4.5.3 Your message has too many recipients. - gsmtp", "smtp.too_many_recipients"),
    # Microsoft: sign-in
    (
        AUTH,
        MICROSOFT,
        f"535 5.7.139 {UNSUCCESSFUL}SmtpClientAuthentication is disabled for the Tenant. Visit "
        f"https://aka.ms/smtp_auth_disabled for more information. {SERVER}",
        "microsoft.smtp_auth_disabled",
    ),
    (
        AUTH,
        MICROSOFT,
        f"535 5.7.139 {UNSUCCESSFUL}SmtpClientAuthentication is disabled for the Mailbox. {SERVER}",
        "microsoft.smtp_auth_disabled",
    ),
    (
        AUTH,
        MICROSOFT,
        f"535 5.7.139 {UNSUCCESSFUL}basic authentication is disabled. {SERVER}",
        "microsoft.basic_auth_disabled",
    ),
    (
        AUTH,
        MICROSOFT,
        f"535 5.7.139 {UNSUCCESSFUL}user is locked by your organization's security defaults policy. Contact your "
        f"administrator. {SERVER}",
        "microsoft.security_defaults",
    ),
    (
        AUTH,
        MICROSOFT,
        f"535 5.7.139 {UNSUCCESSFUL}the request did not meet the criteria to be authenticated successfully. Contact "
        f"your administrator. {SERVER}",
        "microsoft.sign_in_blocked",
    ),
    (
        AUTH,
        MICROSOFT,
        f"535 5.7.139 {UNSUCCESSFUL}the user credentials were incorrect. {SERVER}",
        "smtp.bad_credentials",
    ),
    (AUTH, MICROSOFT, f"535 5.7.3 Authentication unsuccessful {SERVER}", "smtp.bad_credentials"),
    (AUTH, MICROSOFT_TOKEN, f"535 5.7.3 Authentication unsuccessful {SERVER}", "microsoft.token_refused"),
    (
        AUTH,
        MICROSOFT_TOKEN,
        f"535 5.7.139 {UNSUCCESSFUL}the user credentials were incorrect. {SERVER}",
        "microsoft.token_refused",
    ),
    (
        AUTH,
        MICROSOFT_TOKEN,
        f"535 5.7.139 {UNSUCCESSFUL}SmtpClientAuthentication is disabled for the Tenant. {SERVER}",
        "microsoft.smtp_auth_disabled",
    ),
    (
        AUTH,
        MICROSOFT_TOKEN,
        f"535 5.7.139 {UNSUCCESSFUL}user is locked by your organization's security defaults policy. {SERVER}",
        "microsoft.security_defaults",
    ),
    (
        AUTH,
        MICROSOFT_TOKEN,
        f"535 5.7.139 {UNSUCCESSFUL}the request did not meet the criteria to be authenticated successfully. {SERVER}",
        "microsoft.sign_in_blocked",
    ),
    (
        AUTH,
        MICROSOFT,
        f"550 5.7.30 Basic authentication is not supported for Client Submission. {SERVER}",
        "microsoft.basic_auth_retired",
    ),
    (
        CONTENT,
        MICROSOFT,
        "550 Basic authentication is not supported for Client Submission.",
        "microsoft.basic_auth_retired",
    ),
    (
        MAIL,
        MICROSOFT_ANONYMOUS,
        f"530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM {SERVER}",
        "smtp.auth_required",
    ),
    (MAIL, MICROSOFT, "550 5.7.1 Client not authenticated to send mail. Error: 535 5.7.3", "smtp.auth_required"),
    # Microsoft: sending
    (
        CONTENT,
        MICROSOFT,
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        "microsoft.send_as_denied",
    ),
    (
        CONTENT,
        MICROSOFT,
        "554 5.2.252 SendAsDenied; relay@contoso.test not allowed to send as portal@contoso.test; "
        "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied",
        "microsoft.send_as_denied",
    ),
    (
        CONTENT,
        PASSWORD,
        "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process "
        "message due to a permanent exception",
        "microsoft.send_as_denied",
    ),
    (
        CONTENT,
        MICROSOFT,
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message",
        "microsoft.daily_limit",
    ),
    (CONTENT, MICROSOFT, "554 5.2.2 Submission quota exceeded", "microsoft.daily_limit"),
    (
        CONTENT,
        MICROSOFT,
        "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        "microsoft.too_many_connections",
    ),
    (
        MAIL,
        MICROSOFT,
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
        "microsoft.too_many_connections",
    ),
    (
        MAIL,
        MICROSOFT,
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
        "microsoft.rate_limited",
    ),
    (MAIL, MICROSOFT, "451 4.7.0 Temporary server error. Please try again later. PRX2", "microsoft.server_busy"),
    (GREETING, MICROSOFT, "421 4.3.2 Service not available", "microsoft.server_busy"),
    (MAIL, MICROSOFT, "451 4.7.500 Server busy. Please try again later", "microsoft.server_busy"),
    (
        CONTENT,
        MICROSOFT,
        "550 5.1.8 Access denied, bad outbound sender AS(42004)",
        "microsoft.mailbox_blocked",
    ),
    (CONTENT, MICROSOFT, "550 5.7.501 Access denied, spam abuse detected", "microsoft.account_banned"),
    (CONTENT, MICROSOFT, "550 5.7.502 Access denied, banned sender", "microsoft.account_banned"),
    (CONTENT, MICROSOFT, "550 5.7.503 Access denied, banned sender", "microsoft.account_banned"),
    (CONTENT, MICROSOFT, "550 5.7.511 Access denied, banned sender [203.0.113.9]", "microsoft.account_banned"),
    (CONTENT, MICROSOFT, "550 5.7.705 Access denied, tenant has exceeded threshold", "microsoft.tenant_blocked"),
    (
        CONTENT,
        MICROSOFT,
        "550 5.7.708 Access denied, traffic not accepted from this IP",
        "microsoft.address_not_accepted",
    ),
    (
        CONTENT,
        MICROSOFT,
        "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains",
        "microsoft.unregistered_domain",
    ),
    (
        CONTENT,
        MICROSOFT,
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to "
        "external recipients",
        "microsoft.external_recipient_limit",
    ),
    (
        RCPT,
        MICROSOFT_RELAY,
        "550 5.7.64 TenantAttribution; Relay Access Denied [DB5EUR01FT012.eop-EUR01.prod.protection.outlook.com]",
        "microsoft.connector_mismatch",
    ),
    (RCPT, PASSWORD, "550 5.7.1 TenantAttribution; Relay Access Denied", "microsoft.connector_mismatch"),
    (
        RCPT,
        MICROSOFT_RELAY,
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources",
        "microsoft.direct_send_refused",
    ),
    (RCPT, PASSWORD, "550 Direct Send not allowed for this organization", "microsoft.direct_send_refused"),
]


@pytest.mark.parametrize(
    ("step", "target", "line", "code"), REPLIES, ids=[f"{case[3]}: {case[2][:40]}" for case in REPLIES]
)
def test_a_reply_is_known_by_its_code(step: Step, target: Target, line: str, code: str) -> None:
    assert diagnose(step, reply=reply(line), target=target).code == code


def test_every_reply_that_the_table_knows_is_shown_by_some_case() -> None:
    first_to_fit = {id(matching_row(step, reply(line), target)) for step, target, line, _code in REPLIES}

    unused = [f"{row.code}: {row.cause.template}" for row in ROWS if row.said and id(row) not in first_to_fit]

    assert unused == []
