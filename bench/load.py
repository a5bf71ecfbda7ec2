"""The work that every case does: a text message of 4 kB to one recipient."""

from __future__ import annotations

BODY = "\n".join(f"Line {number:03d}: the quick brown fox jumps over the lazy dog, again." for number in range(60))
