"""A security key in software: makes passkeys and answers challenges as Web Authentication Level 3 says."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


@dataclass
class _Key:
    private: ec.EllipticCurvePrivateKey
    handle: bytes
    count: int = 0


@dataclass
class Authenticator:
    """Its flaws can be chosen: another origin or relying party, an owner who is not checked, a count that stays."""

    origin: str = "http://localhost"
    rp_id: str = "localhost"
    checks_owner: bool = True
    counts: bool = True
    keys: dict[bytes, _Key] = field(default_factory=dict)

    def create(self, options: dict[str, Any]) -> str:
        """What `navigator.credentials.create` resolves to, as the portal's script spells it."""
        credential_id = os.urandom(32)
        key = self.keys[credential_id] = _Key(ec.generate_private_key(ec.SECP256R1()), decoded(options["user"]["id"]))
        numbers = key.private.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(credential_id).to_bytes(2, "big") + credential_id + cbor2.dumps(cose)
        data = self._data(key, _ATTESTED) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client_data("webauthn.create", options)
        response = {"clientDataJSON": encoded(client), "attestationObject": encoded(statement), "transports": ["usb"]}
        return _spelled(credential_id, response)

    def get(self, options: dict[str, Any], credential_id: bytes | None = None) -> str:
        """What `navigator.credentials.get` resolves to, by the only passkey unless one is named."""
        chosen = credential_id or next(iter(self.keys))
        key = self.keys[chosen]
        key.count += self.counts
        client, data = self._client_data("webauthn.get", options), self._data(key, 0)
        signature = key.private.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": encoded(client),
            "authenticatorData": encoded(data),
            "signature": encoded(signature),
            "userHandle": encoded(key.handle),
        }
        return _spelled(chosen, response)

    def _data(self, key: _Key, flags: int) -> bytes:
        flags |= _PRESENT | (_VERIFIED if self.checks_owner else 0)
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + key.count.to_bytes(4, "big")

    def _client_data(self, kind: str, options: dict[str, Any]) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(told).encode()


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _spelled(credential_id: bytes, response: dict[str, Any]) -> str:
    name = encoded(credential_id)
    return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
