"""What is true of every answer of the portal, whatever its status."""

from __future__ import annotations

from werkzeug.test import TestResponse

from tests.furnished import FurnishedPortal

GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()"
    ),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FRAMING_POLICY = f"{POLICY}; frame-src 'self'"
# A form of a connection may end at a provider's page of consent, or at the sign-in page that it sends people on to.
CONSENT_POLICY = POLICY.replace("form-action 'self'", "form-action 'self' https:")
MAILS_OWN_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: cid:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)


def assert_guarded(answer: TestResponse, policy: str, *, may_be_kept: bool = False) -> None:
    """Every answer, whatever its status, carries every header that guards it."""
    found = {name: answer.headers.get(name) for name in GUARDS}
    assert found == GUARDS
    assert answer.headers["Content-Security-Policy"] == policy
    assert may_be_kept or answer.headers["Cache-Control"] == "no-store"
    assert "Server" not in answer.headers


def assert_keeps_secrets(shown: FurnishedPortal, answer: TestResponse) -> None:
    """The page of a link has its token in the address that its form is sent to; nothing else has anything."""
    own = ("the token of a reset link",) if answer.request.path.startswith(("/reset-password/", "/setup")) else ()
    if answer.request.path.startswith("/invitations/"):
        own = ("the token of an invitation",)
    if answer.request.path.startswith("/account-validations/"):
        own = ("the token of a link that validates an address",)
    assert shown.things.exposed(answer.text + str(answer.headers), but=own) == []
