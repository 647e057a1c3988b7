"""Signing keys on disk and public key sets (JWKS, RFC 7517; Ed25519 as in RFC 8037).

The private key stays with the harness, in a file that only its owner can read.
Services hold public keys only, so a broken-in service cannot mint bullets.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tracer_bullet.errors import KeyFileError

JWKS_NAME = "jwks.json"
PRIVATE_NAME = "private.pem"
_FETCH_TIMEOUT_S = 5.0
_MAX_JWKS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the id under which services know its public half."""

    kid: str
    private: Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys by their id."""

    keys: dict[str, Ed25519PublicKey]


def create_keys(folder: Path) -> SigningKey:
    """Write `private.pem` (mode 0600) and add its public half to `jwks.json` in `folder`.

    A private key that is there already is kept aside as `private-<kid>.pem` and its public
    half stays in the key set, so that both are valid while keys rotate.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private_path, jwks_path = folder / PRIVATE_NAME, folder / JWKS_NAME
    known = json.loads(jwks_path.read_text(encoding="utf-8"))["keys"] if jwks_path.exists() else []
    if private_path.exists():
        old = load_signing_key(private_path)
        private_path.rename(folder / f"private-{old.kid}.pem")
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    jwk = public_jwk(private.public_key())
    temporary = jwks_path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"keys": [jwk, *known]}, indent=2) + "\n", encoding="utf-8")
    temporary.replace(jwks_path)
    return SigningKey(jwk["kid"], private)


def load_signing_key(path: Path) -> SigningKey:
    """The private key in a PEM file. Raises KeyFileError when it is absent, open to others, or no Ed25519 key."""
    cure = "make one with `tracer-bullet keys new`"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        pem = path.read_bytes()
    except OSError as error:
        raise KeyFileError("TB201", "no signing key", where=str(path), why=str(error), cure=cure) from None
    if mode & 0o077:
        raise KeyFileError(
            "TB202",
            "the signing key can be read by others",
            where=str(path),
            why=f"its mode is {mode:04o}",
            cure=f"chmod 600 {path}, and rotate it if others may have read it",
        )
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError("TB203", "not a usable private key", where=str(path), why=str(error), cure=cure) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError("TB203", "not an Ed25519 key", where=str(path), cure=cure)
    return SigningKey(public_jwk(private.public_key())["kid"], private)


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """A JWK whose `kid` is the first 16 characters of its thumbprint (RFC 7638)."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"), sort_keys=True)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": thumbprint[:16], "use": "sig", "alg": "EdDSA"}


def load_key_set(source: str) -> KeySet:
    """Public keys from inline JWKS JSON, an http(s) URL or a file path.

    Raises KeyFileError; a key of another type than Ed25519 is an error, not passed over.
    """
    where, text = _read_source(source)
    cure = "give a JWKS with Ed25519 keys, as `tracer-bullet keys new` writes"
    try:
        document: Any = json.loads(text)
        rows = document["keys"]
        keys = {str(row["kid"]): _public_key(row) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise KeyFileError("TB204", "not a usable key set", where=where, why=why, cure=cure) from None
    if not keys:
        raise KeyFileError("TB204", "the key set is empty", where=where, cure=cure)
    return KeySet(keys)


def _read_source(source: str) -> tuple[str, str]:
    if source.lstrip().startswith("{"):
        return "inline JWKS", source
    try:
        if source.startswith(("http://", "https://")):
            with urllib.request.urlopen(source, timeout=_FETCH_TIMEOUT_S) as answer:  # noqa: S310  # scheme checked
                return source, answer.read(_MAX_JWKS_BYTES).decode("utf-8")
        return source, Path(source).read_text(encoding="utf-8")
    except (OSError, ValueError, HTTPException) as error:
        cure = "point it at the jwks.json that `tracer-bullet keys new` wrote"
        raise KeyFileError("TB205", "cannot read the key set", where=source, why=str(error), cure=cure) from None


def _public_key(row: dict[str, str]) -> Ed25519PublicKey:
    if row.get("kty") != "OKP" or row.get("crv") != "Ed25519":
        raise ValueError(f"key {row.get('kid')!r} is {row.get('kty')}/{row.get('crv')}, not OKP/Ed25519")
    raw = base64.urlsafe_b64decode(row["x"] + "=" * (-len(row["x"]) % 4))
    return Ed25519PublicKey.from_public_bytes(raw)
