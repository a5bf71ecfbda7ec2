"""The examples of the documentation, which are files that run as they are: the key stands in a variable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from portal.paths import TEMPLATES
from portal.wording import N_, Text

_ADDRESS = "http://localhost:8000"  # in the files


@dataclass(frozen=True)
class Example:
    """One way of calling, by its file in `templates/api/examples`."""

    name: str
    title: Text
    file: str

    def text_for(self, public_url: str) -> str:
        """Its text for the portal at this address."""
        return _text(self.file).replace(_ADDRESS, public_url)


@lru_cache(maxsize=8)
def _text(file: str) -> str:
    return (TEMPLATES / "api" / "examples" / file).read_text()


EXAMPLES = (
    Example("curl", N_("curl"), "send.sh"),
    Example("powershell", N_("PowerShell"), "send.ps1"),
    Example("python", N_("Python"), "send.py"),
    Example("client", N_("Python, with the client"), "send_with_client.py"),
)
