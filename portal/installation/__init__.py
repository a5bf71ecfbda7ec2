"""Which installation this is, and whether its mail may leave.

A restored or copied installation holds all sending until an administrator releases it, as it is or with every
message redirected to one address: else the copy would mail the original's people. Offers `judge` (for pages and
`portal doctor`), `Gate` (for the worker), `release`, `hold_restored` and `banners`.
Never sends, claims or changes a message.
"""

from __future__ import annotations

from portal.installation.announcing import banners, mail_status
from portal.installation.gate import Gate
from portal.installation.holding import SUBJECT, Standing, adopt, hold_restored, judge, release

__all__ = ["SUBJECT", "Gate", "Standing", "adopt", "banners", "hold_restored", "judge", "mail_status", "release"]
