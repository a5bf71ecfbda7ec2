"""Which addresses count as proved, provider by provider."""

from __future__ import annotations

from typing import Any

import pytest

from portal.accounts.provider_claims import proved_address

ADA = "ada@contoso.test"
GOOGLE = "https://accounts.google.com"
MICROSOFT = "https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0"


@pytest.mark.parametrize(
    ("issuer", "claims", "counts"),
    [
        (GOOGLE, {"email": ADA, "email_verified": True}, False),
        (GOOGLE, {"email": ADA, "email_verified": True, "hd": "contoso.test"}, True),
        (GOOGLE, {"email": ADA, "email_verified": True, "hd": "evil.test"}, False),
        (GOOGLE, {"email": ADA, "email_verified": False, "hd": "contoso.test"}, False),
        (GOOGLE, {"email": "ada@gmail.com", "email_verified": True}, True),
        (MICROSOFT, {"email": ADA}, False),
        (MICROSOFT, {"email": ADA, "xms_edov": True}, True),
        (MICROSOFT, {"email": ADA, "xms_edov": "1"}, False),
        ("https://login.contoso.test", {"email": ADA, "xms_edov": True}, False),
        ("https://login.contoso.test", {"email": ADA, "email_verified": True}, True),
        ("https://login.contoso.test", {"email": [ADA], "email_verified": True}, False),
        ("https://login.contoso.test", {"email": f"{ADA}\r\nBcc: eve@evil.test", "email_verified": True}, False),
        ("https://login.contoso.test", {"email_verified": True}, False),
    ],
)
def test_an_address_counts_where_the_provider_vouches_for_it(issuer: str, claims: dict[str, Any], counts: bool) -> None:
    assert bool(proved_address(claims, issuer)) is counts
