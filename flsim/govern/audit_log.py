"""The files of the audit log, `audit_log.jsonl` and `audit_log.json`: a chain of hashes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flsim.errors import RunError
from flsim.govern.audit import AuditRecord
from flsim.govern.canonical import GENESIS, canonical, linked, sha256
from flsim.observe.files import write_bytes
from flsim.untrusted import content_of, json_of

LINES, WHOLE = "audit_log.jsonl", "audit_log.json"
SCHEMA = 1


class Link(NamedTuple):
    """A record of the chain: what it says, the hash of its predecessor, and its own."""

    record: Mapping[str, Any]
    previous: str
    sha256: str

    @property
    def body_sha256(self) -> str:
        """The hash of what it says alone."""
        return sha256(canonical(self.record))

    @property
    def line(self) -> bytes:
        """The record's line of audit_log.jsonl."""
        return canonical(self._asdict()) + b"\n"


def chained(records: Sequence[AuditRecord]) -> list[Link]:
    """Return the records as a chain: each has the hash of the one before."""
    links: list[Link] = []
    for record in records:
        previous = links[-1].sha256 if links else GENESIS
        body = json.loads(canonical(record._asdict()))  # as it will be read
        links.append(Link(body, previous, linked(previous, sha256(canonical(body)))))
    return links


def write_log(folder: Path, links: Sequence[Link]) -> None:
    """Write the log twice, as lines and as one document. Raises RunError if it cannot be written."""
    write_bytes(folder / LINES, lines_of(links))
    write_bytes(folder / WHOLE, document_of(links))


def lines_of(links: Sequence[Link]) -> bytes:
    """Return the log as audit_log.jsonl has it: a canonical line for each record."""
    return b"".join(link.line for link in links)


def document_of(links: Sequence[Link]) -> bytes:
    """Return the log as audit_log.json has it, for people: one document."""
    document = {"schema": SCHEMA, "records": [link._asdict() for link in links]}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def read_log(folder: Path) -> list[Link]:
    """Return the log from its lines. Raises RunError if there are none to read, or one is no record."""
    path = folder / LINES
    try:
        content = content_of(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(f"{path}: cannot be read: {why}") from error
    links = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            found = json_of(line)
            link = Link(found["record"], found["previous"], found["sha256"])
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{path}:{number}: not a record of an audit log") from error
        if not (isinstance(link.record, dict) and isinstance(link.previous, str)):
            raise RunError(f"{path}:{number}: not a record of an audit log")
        links.append(link)
    if not links:
        raise RunError(f"{path}: an audit log has at least one record, and this one is empty")
    return links


def broken_link(links: Sequence[Link]) -> str | None:
    """Return where a chain is broken, and how; None if it holds."""
    previous = GENESIS
    for number, link in enumerate(links):
        if link.record.get("number") != number:
            return f"record {number} has the number {link.record.get('number')}"
        if link.previous != previous:
            return f"record {number} does not have the hash of its predecessor"
        if link.sha256 != linked(previous, link.body_sha256):
            return f"record {number} does not have the hash of what it says"
        previous = link.sha256
    return None
