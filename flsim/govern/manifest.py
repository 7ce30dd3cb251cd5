"""The manifest of a run: what ran, on what, which versions came of it, and a hash of every file."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from flsim.errors import RunError
from flsim.govern.canonical import brief, canonical, sha256
from flsim.govern.segments import Segments, segments_of
from flsim.observe.files import write_bytes
from flsim.untrusted import json_of

FOLDER = "governance"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
MAX_BYTES = 1 << 30
_BROKEN_OVER = 2  # as deep as this, an entry of the file has a line of its own


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("not a path inside the run's folder")
    return name


RelativePath = Annotated[str, AfterValidator(_inside)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Artefact(_Frozen):
    """A file of the run: its size, its hash, and what places a change in it."""

    bytes: int
    sha256: str
    segments: Segments


class Chain(_Frozen):
    """The audit log in short: `bodies` are the hashes of what its records say, `head` is the chain's."""

    records: int
    head: str
    bodies: tuple[str, ...]


class Part(_Frozen):
    """A task of a version: whose it was, which version it started from, and what it counted for."""

    task: int
    client: int
    base_version: int
    weight: float | None


class VersionOrigin(_Frozen):
    """What a version was made of, beside the version before it."""

    version: int
    model_sha256: str | None
    tasks: tuple[Part, ...]


class Manifest(_Frozen):
    """What manifest.json says.

    `config`: hashes of the scenario, as it is in scenario.yaml and as it was given. `environment` is told
    and not hashed into results. `lineage`: one entry for each version.
    """

    schema_version: Literal[1] = 1
    name: str
    config: dict[str, str]
    timing_only: bool
    environment: dict[str, str | None]
    features: dict[str, Any]
    model: dict[str, Any] | None
    data: dict[str, Any] | None
    records_sha256: str
    audit: Chain
    lineage: tuple[VersionOrigin, ...]
    artefacts: dict[RelativePath, Artefact]


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `folder/governance/manifest.json`, sealed. Raises RunError if it cannot be written."""
    path = folder / FOLDER / MANIFEST
    write_bytes(path, rendered(sealed(manifest.model_dump(mode="json"))))
    return path


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest says, with its seal: its own hash, and digests of its entries."""
    return {**data, "seal": _seal(data)}


def rendered(data: Mapping[str, Any]) -> bytes:
    """Return the bytes of manifest.json: one form only, a line for each entry of each section."""
    return (_broken(data, 0) + "\n").encode()


def artefacts_in(folder: Path) -> dict[str, Artefact]:
    """Return every file of a run, by its path in the folder; but for the manifest and its signature."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not is_beside(name):
            content = path.read_bytes()
            found[name] = Artefact(
                bytes=len(content), sha256=sha256(content), segments=segments_of(path, content)
            )
    return found


def is_beside(name: str) -> bool:
    """Return whether a file is no artefact: the manifest itself, its signature, what is not yet written."""
    return name in (f"{FOLDER}/{MANIFEST}", f"{FOLDER}/{SIGNATURE}") or name.endswith(".partial")


def is_governed(folder: Path) -> bool:
    """Return whether a run has a manifest."""
    return (folder / FOLDER / MANIFEST).is_file()


def manifest_bytes(folder: Path) -> bytes:
    """Return the content of a run's manifest. Raises RunError if there is none, or it is too large."""
    path = folder / FOLDER / MANIFEST
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RunError(f"{path}: larger than {MAX_BYTES >> 20} MiB; not a manifest")
        return path.read_bytes()
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise RunError(f"{folder}: no such folder") from error
        why = "the run has no manifest; runs have one with the section 'governance: {}'"
        raise RunError(f"{folder}: {why}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error


def parsed(content: bytes) -> tuple[Manifest | None, str | None]:
    """Return the manifest that bytes are, and what is wrong with them, if something is.

    Not a byte can be changed unseen, unless the seal is made anew: there is one way only to write what it
    says, and what it says has a hash.
    """
    try:
        content.decode()
        data = json_of(content)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return None, f"line {line}: not UTF-8"
    except json.JSONDecodeError as error:
        return None, f"line {error.lineno}: not JSON"
    except (ValueError, RecursionError):
        return None, "not JSON"
    if not isinstance(data, dict):
        return None, "not a mapping"
    if (wrong := _unsealed(data, content)) is not None:
        return None, wrong
    try:
        return Manifest.model_validate_json(canonical({k: v for k, v in data.items() if k != "seal"})), None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return None, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _unsealed(data: dict[str, Any], content: bytes) -> str | None:
    """Return where the seal is broken, or the form is another than that of `rendered`."""
    said = data.get("seal")
    body = {key: value for key, value in data.items() if key != "seal"}
    due = _seal(body)
    if said != due:
        known = said.get("entries") if isinstance(said, dict) else None
        return _first_changed(body, known if isinstance(known, dict) else {}, due["entries"])
    lines, wanted = content.split(b"\n"), rendered(data).split(b"\n")
    if lines != wanted:
        pairs = enumerate(zip(lines, wanted, strict=False), start=1)
        at = next((number for number, (line, due_line) in pairs if line != due_line), len(wanted))
        return f"line {at}: not written as a manifest is"
    return None


def _seal(body: Mapping[str, Any]) -> dict[str, Any]:
    entries = {section: _entry_digests(value) for section, value in body.items()}
    return {"sha256": sha256(canonical([body, entries])), "entries": entries}


def _entry_digests(section: object) -> str:
    return "".join(brief(canonical(entry)) for _, entry in _entries(section))


def _entries(section: object) -> list[tuple[object, object]]:
    """Return the entries of a section, in the order in which the file has them."""
    if isinstance(section, Mapping):
        return [(key, [key, section[key]]) for key in sorted(section)]
    if isinstance(section, list | tuple):
        return list(enumerate(section))
    return [("", section)]


def _first_changed(body: Mapping[str, Any], known: Mapping[str, Any], due: Mapping[str, str]) -> str:
    """Return which entry is not the one that was sealed."""
    for section, digests in due.items():
        sealed_as = known.get(section)
        if sealed_as == digests or not isinstance(sealed_as, str):
            continue
        for place, (key, _) in enumerate(_entries(body[section])):
            if digests[8 * place : 8 * place + 8] != sealed_as[8 * place : 8 * place + 8]:
                return f"{section}: {key}" if key != "" else str(section)
        return str(section)
    return "seal"


def _broken(data: object, depth: int) -> str:
    """Return JSON with a line for each entry down to some depth, and in one line below."""
    if depth < _BROKEN_OVER and isinstance(data, Mapping | list | tuple) and data:
        indent = " " * (depth + 1)
        if isinstance(data, Mapping):
            keys = sorted(data)
            lines = [f"{canonical(key).decode()}: {_broken(data[key], depth + 1)}" for key in keys]
            opening, closing = "{", "}"
        else:
            lines = [_broken(entry, depth + 1) for entry in data]
            opening, closing = "[", "]"
        inside = f",\n{indent}".join(lines)
        return f"{opening}\n{indent}{inside}\n{' ' * depth}{closing}"
    return canonical(data).decode()
