"""Django's `send_mail`, as the queues without a mail of their own are used with: one connection for each message."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.mail import send_mail


def configure(port: int) -> None:
    """Once in each process that sends."""
    settings.configure(
        SECRET_KEY="bench",
        EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=port,
        EMAIL_TIMEOUT=30,
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()


def send(number: int, text: str, html: str | None) -> None:
    send_mail(f"Message {number}", text, "portal@contoso.test", [f"user{number}@contoso.test"], html_message=html)
