"""Every code that the providers' modules name has its advice."""

from __future__ import annotations

import re
from pathlib import Path

import portal.connections.oauth
from portal.transports.diagnosis import all_codes
from portal.transports.oauth_errors import BAD_SECRET, NEEDS_CONSENT, PASSES_BY_ITSELF

_CODE = re.compile(r'"((?:google|microsoft|graph|http|network|provider|tls)\.[a-z_]+)"')


def test_every_code_of_the_providers_has_its_advice() -> None:
    modules = Path(portal.connections.oauth.__file__).parent.glob("*.py")
    named = {code for module in modules for code in _CODE.findall(module.read_text())}

    known = {code for code, _ in all_codes()}

    assert len(named) > 10
    assert named - known == set()
    assert (BAD_SECRET | NEEDS_CONSENT | PASSES_BY_ITSELF) - known == set()
