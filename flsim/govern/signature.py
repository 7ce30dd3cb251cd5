"""Signing a manifest with an Ed25519 key. Edwards-curve signatures: RFC 8032; keys are PEM files."""

import json
import os
from pathlib import Path
from typing import Any

from flsim.errors import RunError
from flsim.govern.manifest import FOLDER, MANIFEST, SIGNATURE, manifest_bytes
from flsim.observe.files import write_bytes
from flsim.untrusted import content_of, json_of

_EXTRA = 'signatures need the package cryptography: pip install "flsim-des[governance]"'
_ALGORITHM = "Ed25519"
_MOST_BYTES = 2**16  # of a key, and of a signature


def sign(folder: Path, key: Path) -> Path:
    """Sign the manifest of a run with the private key in a PEM file; return where the signature is.

    Raises RunError if there is no manifest, or the file has no such key.
    """
    private = _private_key(key)
    path = folder / FOLDER / SIGNATURE
    signature = private.sign(manifest_bytes(folder))
    write_bytes(path, _document(_raw(private.public_key()), signature))
    return path


def check_key(key: Path) -> None:
    """Raise RunError unless the file has a private key that can sign."""
    _private_key(key)


def new_key(path: Path) -> Path:
    """Write a new private key, which nobody else can read, and `<path>.pub` with the public one.

    Raises RunError if there is a file already, or none can be written.
    """
    _cryptography()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    secret = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    shared = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    public = path.with_name(f"{path.name}.pub")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
    except FileExistsError as error:
        raise RunError(f"{path}: exists already; no key is ever overwritten") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    write_bytes(public, shared)
    return public


def what_is_wrong(folder: Path, content: bytes, public_key: Path | None) -> tuple[str, str] | None:
    """Return which file is wrong, and why, if a manifest's signature is not what it must be.

    content: the manifest's. Without `public_key`, the signature must only fit the key that stands beside
    it, which says that neither was damaged, and not who has signed. With one, it must be there, and that
    key's. Raises RunError if the key cannot be read.
    """
    path, name = folder / FOLDER / SIGNATURE, f"{FOLDER}/{SIGNATURE}"
    wanted = None if public_key is None else _raw(_public_key(public_key))
    if not path.is_file():
        return None if wanted is None else (name, "missing: the manifest is not signed")
    try:
        document = content_of(path, _MOST_BYTES)
        said = json_of(document)
        public, signature = bytes.fromhex(said["public_key"]), bytes.fromhex(said["signature"])
        # One way to write it: `fromhex` takes capitals and spaces too, and a changed byte must not pass.
        rightly_written = document == _document(public, signature)
        fits = rightly_written and _fits(public, signature, content)
    except (OSError, ValueError, TypeError, KeyError):
        return name, "not a signature"
    if not rightly_written:
        return name, "not a signature"
    if not fits:
        return name, f"does not fit {FOLDER}/{MANIFEST} and the key beside it"
    if wanted is not None and public != wanted:
        return name, f"by another key than that in {public_key}"
    return None


def _document(public: bytes, signature: bytes) -> bytes:
    said = {"algorithm": _ALGORITHM, "public_key": public.hex(), "signature": signature.hex()}
    return json.dumps(said, indent=1, sort_keys=True).encode() + b"\n"


def _fits(public: bytes, signature: bytes, content: bytes) -> bool:
    _cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _private_key(path: Path) -> Any:
    _cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        why = "not a private key in PEM without a passphrase"
        raise RunError(f"{path}: {why}; flsim keygen makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RunError(f"{path}: a key of another kind; accepted: {_ALGORITHM}, as flsim keygen makes it")
    return key


def _public_key(path: Path) -> Any:
    _cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path))
    except ValueError as error:
        raise RunError(f"{path}: not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RunError(f"{path}: a key of another kind; accepted: {_ALGORITHM}")
    return key


def _raw(public: Any) -> bytes:
    raw: bytes = public.public_bytes_raw()
    return raw


def _read(path: Path) -> bytes:
    try:
        return content_of(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(f"{path}: cannot be read: {why}") from error


def _cryptography() -> None:
    """Raise RunError where signatures cannot be made or checked."""
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise RunError(_EXTRA) from error
