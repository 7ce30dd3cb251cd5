"""What an auditor is given: a manifest, a log, a signature."""

import json

from flsim.govern.audit_log import broken_link, document_of, lines_of, read_log
from flsim.govern.case import _record
from flsim.govern.manifest import parsed, rendered, sealed
from flsim.govern.signature import what_is_wrong
from tests.fuzz.place import folder, placed
from tests.fuzz.target import Target


def manifest(content: bytes) -> None:
    """A manifest as it is, and one whose seal was made anew by somebody who knows how."""
    parsed(content)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return
    if isinstance(data, dict):
        try:
            anew = rendered(sealed({key: value for key, value in data.items() if key != "seal"}))
        except (ValueError, TypeError, RecursionError):
            return  # what JSON says beyond what canonical JSON can
        parsed(anew)


def audit_log(content: bytes) -> None:
    path = placed("log/governance/audit_log.jsonl", content)
    links = read_log(path.parent)
    broken_link(links)
    lines_of(links)
    document_of(links)
    for link in links:
        _record(link, path.parent.parent)


def signature(content: bytes) -> None:
    placed("log/governance/manifest.sig", content)
    what_is_wrong(folder() / "log", b"{}", None)


TARGETS = (
    Target("manifest", manifest, "json"),
    Target("audit_log", audit_log, "json"),
    Target("signature", signature, "json"),
)
