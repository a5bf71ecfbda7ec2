"""Organisation-wide switches and sender: what every connection and message inherits.

Offers `EmailSettings` (a frozen value), `load` and `save`, the page `/email-settings` and the section `email` of
the settings file. What it shows of the default connection is handed down as `app.extensions["default_connection"]`.
Never knows a connection's settings and never sends.
"""

from __future__ import annotations

from portal.email_settings.default_connection import ConnectionSummary
from portal.email_settings.settings import (
    ChangedMeanwhile,
    EmailSettings,
    load,
    load_saved,
    save,
    with_placeholders,
)
from portal.email_settings.settings_section import section

__all__ = [
    "ChangedMeanwhile",
    "ConnectionSummary",
    "EmailSettings",
    "load",
    "load_saved",
    "save",
    "section",
    "with_placeholders",
]
