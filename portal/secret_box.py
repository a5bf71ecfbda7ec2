"""Seals and opens secrets at rest; the only user of the keys.

A sealed value reads `v1.<key id>.<nonce>.<text>`: AES-256-GCM whose associated data is its context (table,
column, row, and for a connection's secret where it goes), so that a ciphertext copied elsewhere does not open.
Keys for sealing, signing and codes are derived apart from each root key by HKDF (RFC 5869).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_FILE = "secret.key"
MINIMUM_KEY_LENGTH = 32  # characters; a generated key has 43


@dataclass(frozen=True)
class Unreadable:
    """A sealed value that no key of this box opens: another key, another place, or damage. Falsy."""

    reason: str

    def __bool__(self) -> bool:
        return False


class SecretBox:
    """The first root key seals, all of them open.

    `newer_keys` is asked before anything is sealed, and where no key fits: it gives the root keys again if they
    changed since they were last given, else None. A key that was given once goes on opening.
    """

    def __init__(
        self, root_keys: Sequence[str], *, newer_keys: Callable[[], Sequence[str] | None] = lambda: None
    ) -> None:
        if not root_keys:
            raise ValueError("a secret box needs at least one root key")
        self._newer_keys = newer_keys
        self._sealing: dict[str, AESGCM] = {}
        self._take(root_keys)
        self.signing_keys = tuple(_derive(key, "signing").hex() for key in root_keys)

    @property
    def code_key(self) -> bytes:
        """For the codes that people type, of which each lives for minutes."""
        self._refresh()
        return self._code_key

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of all keys that open."""
        return tuple(self._sealing)

    def __repr__(self) -> str:
        return f"SecretBox(key_id={self.key_id!r})"

    def seal(self, value: str | bytes, context: str) -> str:
        """Seal `value` for `context` (`table.column:row-uuid`)."""
        plain = value.encode() if isinstance(value, str) else value
        self._refresh()
        nonce = os.urandom(12)
        key_id = self.key_id
        text = self._sealing[key_id].encrypt(nonce, plain, context.encode())
        return f"v1.{key_id}.{_encode(nonce)}.{_encode(text)}"

    def open(self, sealed: str, context: str) -> str | Unreadable:
        """The text that was sealed, or why it cannot be read. Never raises."""
        plain = self.open_bytes(sealed, context)
        if isinstance(plain, Unreadable):
            return plain
        try:
            return plain.decode()
        except UnicodeDecodeError:
            return Unreadable("not a text")

    def open_bytes(self, sealed: str, context: str) -> bytes | Unreadable:
        """As `open`, for bytes."""
        try:
            version, key_id, nonce, text = sealed.split(".")
            if version != "v1":
                return Unreadable("sealed by another version")
            box = self._sealing.get(key_id)
            if box is None and self._refresh():
                box = self._sealing.get(key_id)
            if box is None:
                return Unreadable("sealed with a key that this portal does not have")
            return box.decrypt(_decode(nonce), _decode(text), context.encode())
        except (ValueError, AttributeError):
            return Unreadable("damaged")
        except InvalidTag:
            return Unreadable("damaged, or moved from another place")

    def _refresh(self) -> bool:
        newer = self._newer_keys()
        if newer:
            self._take(newer)
        return bool(newer)

    def _take(self, root_keys: Sequence[str]) -> None:
        """First the keys, then which of them seals: another thread may be sealing."""
        self._sealing = self._sealing | {_key_id(key): AESGCM(_derive(key, "sealing")) for key in root_keys}
        self._code_key = _derive(root_keys[0], "codes")
        self.key_id = _key_id(root_keys[0])


class KeyFile:
    """The generated keys in the instance folder, by commas: what runs sees at once when they change."""

    def __init__(self, instance: Path) -> None:
        self._instance = instance
        self._path = instance / KEY_FILE
        self._seen: tuple[int, int] | None = None

    def keys(self) -> tuple[str, ...]:
        """All of them, made if there is none yet. Raises PermissionError when others can read the file."""
        load_or_make_key(self._instance)
        self._seen = self._mark()
        return split_keys(self._path.read_text())

    def newer(self) -> tuple[str, ...] | None:
        """The keys, if the file is another one than when it was last read; None where it cannot be read, too."""
        try:
            if self._mark() == self._seen:
                return None
            self._seen = self._mark()
            return split_keys(self._path.read_text()) or None
        except OSError:
            return None

    def replace(self, keys: Sequence[str]) -> None:
        """Write other keys, whole or not at all."""
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                owner = self._path.stat()
                if os.geteuid() == 0:  # else the portal, which runs as somebody else, could not read it any more
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write(",".join(keys) + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        finally:
            new.unlink(missing_ok=True)

    def _mark(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_ino


def new_key() -> str:
    """A root key of 256 random bits."""
    return secrets.token_urlsafe(32)


def split_keys(text: str) -> tuple[str, ...]:
    """Keys that are written one after the other, with commas."""
    return tuple(key for key in (piece.strip() for piece in text.split(",")) if key)


def load_or_make_key(instance: Path) -> str:
    """The root key of this installation, made once into the instance folder with mode 0600.

    Raises PermissionError when others can read the file: a key that was readable may have been read.
    """
    path = instance / KEY_FILE
    if not path.exists():
        instance.mkdir(parents=True, exist_ok=True)
        _write_once(path, new_key())
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} can be read by others: run chmod 600 {path}")
    return path.read_text().strip()


def _write_once(path: Path, key: str) -> None:
    """Web and worker start together: the file appears whole, and the first one written stays."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()


def _derive(root: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"mail-portal/{purpose}".encode()).derive(root.encode())


def _key_id(root: str) -> str:
    return hashlib.sha256(b"mail-portal/key-id" + _derive(root, "key-id")).hexdigest()[:8]


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
