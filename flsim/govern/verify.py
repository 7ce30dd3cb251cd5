"""Verifying a run: whether its files are those that the manifest was written of."""

from dataclasses import dataclass
from pathlib import Path

from flsim.govern.canonical import sha256
from flsim.govern.manifest import (
    FOLDER,
    MANIFEST,
    SIGNATURE,
    Artefact,
    Manifest,
    is_beside,
    manifest_bytes,
    parsed,
)
from flsim.govern.segments import place_of_change
from flsim.govern.signature import what_is_wrong


@dataclass(frozen=True)
class Damage:
    """A file that is not as the manifest has it. `place`: which of its records, lines or bytes."""

    file: str
    place: str

    @property
    def is_of_signature(self) -> bool:
        """Whether it is the signature that is wrong, and not what was signed."""
        return self.file == f"{FOLDER}/{SIGNATURE}"

    def __str__(self) -> str:
        return f"{self.file}: {self.place}"


@dataclass(frozen=True)
class Verified:
    """What looking at all files gave.

    `unlisted`: files that came later, of which the manifest says nothing. `signed`: whether there is a
    signature that fits. `manifest`: None where it cannot be relied on.
    """

    manifest_sha256: str
    manifest: Manifest | None
    damages: tuple[Damage, ...]
    files: int
    unlisted: tuple[str, ...]
    signed: bool

    def as_data(self) -> dict[str, object]:
        """Return what was found as plain data."""
        return {
            "manifest_sha256": self.manifest_sha256,
            "signed": self.signed,
            "files": self.files,
            "changed": [{"file": damage.file, "place": damage.place} for damage in self.damages],
            "unlisted": list(self.unlisted),
        }


def verify(folder: Path, *, public_key: Path | None = None, expected: str | None = None) -> Verified:
    """Look at every byte that a run has written, and say what has changed.

    `expected`: the manifest's SHA-256 as somebody noted it elsewhere. Raises RunError where there is no
    manifest, a file cannot be read, or the public key is none.
    """
    content = manifest_bytes(folder)
    manifest, wrong = parsed(content)
    digest = sha256(content)
    damages = []
    if wrong is not None:
        damages.append(Damage(f"{FOLDER}/{MANIFEST}", wrong))
    elif expected is not None and digest != expected.lower():
        damages.append(Damage(f"{FOLDER}/{MANIFEST}", "another one than that whose SHA-256 was given"))
    signature = what_is_wrong(folder, content, public_key) if wrong is None else None
    if signature is not None:
        damages.append(Damage(*signature))
    listed = manifest.artefacts if manifest is not None else {}
    for name, artefact in listed.items():
        damages += _damages(folder, name, artefact)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    unlisted = sorted(name for name in there - set(listed) if not is_beside(name))
    signed = signature is None and (folder / FOLDER / SIGNATURE).is_file()
    return Verified(digest, manifest, tuple(damages), len(listed), tuple(unlisted), signed)


def _damages(folder: Path, name: str, artefact: Artefact) -> list[Damage]:
    path = folder / name
    if not path.is_file():
        return [Damage(name, "missing")]
    content = path.read_bytes()
    if len(content) == artefact.bytes and sha256(content) == artefact.sha256:
        return []
    place = place_of_change(artefact.segments, content) or "bytes that belong to no record"
    sizes = "" if len(content) == artefact.bytes else f"; {len(content)} bytes instead of {artefact.bytes}"
    return [Damage(name, f"{place}{sizes}")]
