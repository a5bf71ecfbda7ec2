"""Files of the shapes that other programs write, cut to what matters."""

from __future__ import annotations

import base64
import json
import zlib

LARAVEL = """\
APP_NAME="Contoso Shop"
# mail
MAIL_MAILER=smtp
MAIL_HOST=smtp.contoso.test
MAIL_PORT=587
MAIL_USERNAME=shop
MAIL_PASSWORD="canary # 4711"
MAIL_ENCRYPTION=tls
MAIL_FROM_ADDRESS="shop@contoso.test"
MAIL_FROM_NAME="${APP_NAME}"
MAILGUN_SECRET=
"""

DJANGO = """\
export EMAIL_HOST='smtp.contoso.test'
EMAIL_PORT=465
EMAIL_USE_SSL=True
EMAIL_HOST_USER=django
EMAIL_HOST_PASSWORD=${DB_PASSWORD_OF_MAIL}
DEFAULT_FROM_EMAIL=Site <site@contoso.test>
"""

SYMFONY = "MAILER_DSN=smtps://site%40contoso.test:canary%2F4711@smtp.contoso.test:465?verify_peer=0\n"

WP_MAIL_SMTP = json.dumps(
    {
        "mail": {
            "from_email": "site@contoso.test",
            "from_name": "Contoso \U0001f4ee",
            "mailer": "smtp",
            "return_path": True,
            "from_email_force": True,
            "from_name_force": False,
        },
        "smtp": {
            "autotls": True,
            "auth": True,
            "host": "smtp.contoso.test",
            "encryption": "tls",
            "port": 587,
            "user": "site",
            "pass": "canary/4711",
        },
        "mailgun": {"api_key": "canary-key", "domain": "", "region": "US"},
        "general": {"summary_report_email_disabled": False},
    },
    indent=4,
)

WP_MAIL_SMTP_GMAIL = json.dumps(
    {
        "mail": {"from_email": "site@contoso.test", "from_name": "", "mailer": "gmail"},
        "gmail": {
            "client_id": "123-abc.apps.googleusercontent.com",
            "client_secret": "GOCSPX-canary-4711",
            "access_token": {"access_token": "ya29.canary", "refresh_token": "1//canary"},
            "refresh_token": "1//canary",
            "user_details": {"email": "site@contoso.test"},
        },
    }
)

FLUENT_SMTP = json.dumps(
    {
        "connections": {
            "a1b2c3": {
                "title": "Office",
                "provider_settings": {
                    "sender_name": "Tom &amp; Jerry",
                    "sender_email": "office@contoso.test",
                    "force_from_name": "no",
                    "force_from_email": "yes",
                    "return_path": "yes",
                    "host": "smtp.contoso.test",
                    "port": "465",
                    "auth": "yes",
                    "username": "office",
                    "password": "bm90LXJlYWRhYmxl",
                    "auto_tls": "yes",
                    "encryption": "ssl",
                    "key_store": "db",
                    "provider": "smtp",
                },
            },
            "d4e5f6": {
                "title": "Bulk",
                "provider_settings": {"provider": "mailgun", "sender_email": "bulk@contoso.test", "api_key": "canary"},
            },
        },
        "mappings": {"office@contoso.test": "a1b2c3"},
        "misc": {"log_emails": "yes", "default_connection": "a1b2c3"},
        "use_encrypt": "yes",
    }
)

POST_SMTP = {
    "version": "3.3.0",
    "transport_type": "smtp",
    "hostname": "smtp.contoso.test",
    "port": "587",
    "enc_type": "tls",
    "auth_type": "login",
    "basic_auth_username": "site",
    "basic_auth_password": base64.b64encode(b"canary/4711").decode(),
    "sender_email": "site@contoso.test",
    "sender_name": "Contoso",
    "envelope_sender": "bounces@contoso.test",
    "reply_to": "",
    "forced_bcc": "copy@contoso.test",
    "prevent_sender_email_override": "on",
    "fallback_smtp_enabled": "yes",
    "fallback_smtp_hostname": "backup.contoso.test",
    "fallback_smtp_port": "465",
    "fallback_smtp_security": "ssl",
    "fallback_smtp_use_auth": "login",
    "fallback_smtp_username": "backup",
    "fallback_smtp_password": base64.b64encode(b"canary/4712").decode(),
    "fallback_from_email": "backup@contoso.test",
}
POST_SMTP_EXPORT = base64.b64encode(zlib.compress(json.dumps(POST_SMTP).encode(), 9)).decode()

KEYCLOAK = """\
{
  "id" : "contoso",
  "realm" : "contoso",
  "enabled" : true,
  "smtpServer" : {
    "host" : "smtp.contoso.test",
    "port" : "587",
    "starttls" : "true",
    "ssl" : "",
    "auth" : "true",
    "user" : "keycloak",
    "password" : "**********",
    "from" : "login@contoso.test",
    "fromDisplayName" : "Contoso sign-in",
    "envelopeFrom" : "",
    "replyToDisplayName" : "Help"
  },
  "clients" : [ { "clientId" : "account", "redirectUris" : [ "/*" ] } ]
}
"""

SMTP2GRAPH = """\
# yaml-language-server: $schema=config.schema.json
mode: full
send:
  appReg:
    tenant: contoso
    id: 01234567-89ab-cdef-0123-456789abcdef
    secret: canary~4711.secret
  retryLimit: 10
  forceMailbox: scanner@contoso.test
receive:
  port: 587
  allowedFrom:
    - noreply@contoso.test
  users:
    - username: scanner
      password: canary-of-a-user
"""
