"""Checks of the log, the hashes and the manifest: whether they hold together, and would show a change."""

import json
from itertools import pairwise

from flsim.govern.audit import INITIAL, SKIPPED, UPDATE, virtual_time
from flsim.govern.audit_log import LINES, WHOLE, broken_link, document_of, lines_of
from flsim.govern.canonical import canonical, head_of
from flsim.govern.case import Case
from flsim.govern.finding import NO_LOG, Finding, judged, not_applicable
from flsim.govern.manifest import FOLDER, MANIFEST, rendered
from flsim.govern.policy import Policy


def one_each(case: Case, policy: Policy) -> Finding:
    """Every update has one record, also one that was skipped, and it says what the tables say."""
    if case.links is None:
        return NO_LOG
    said, due = ([canonical(record._asdict()) for record in some] for some in (case.records, case.folded))
    for number, (record, wanted) in enumerate(zip(case.records, case.folded, strict=False)):
        if said[number] != due[number]:
            keys = [key for key, value in record._asdict().items() if value != getattr(wanted, key)]
            return judged(
                False, f"record {number} is not what the tables say: {', '.join(keys) or 'its form'}"
            )
    if len(said) != len(due):
        return judged(False, f"{len(said)} records; by the tables there are {len(due)}")
    counts = {event: sum(record.event == event for record in case.records) for event in (UPDATE, SKIPPED)}
    return judged(True, f"{counts[UPDATE]} updates and {counts[SKIPPED]} that were skipped, a record each")


def saved_again(case: Case, policy: Policy) -> Finding:
    """Reading the log and the manifest and writing them again gives the same bytes."""
    if case.links is None:
        return NO_LOG
    governance = case.folder / FOLDER
    written = {LINES: lines_of(case.links), WHOLE: document_of(case.links)}
    if (governance / MANIFEST).is_file():
        try:
            written[MANIFEST] = rendered(json.loads((governance / MANIFEST).read_bytes()))
        except (ValueError, RecursionError, AttributeError):
            return judged(False, f"{MANIFEST} cannot be read")
    for name, content in written.items():
        if not (governance / name).is_file() or (governance / name).read_bytes() != content:
            return judged(False, f"{name} would be written otherwise")
    return judged(True, f"{', '.join(written)} are the same bytes")


def models_follow(case: Case, policy: Policy) -> Finding:
    """The model after an update is the model before the next."""
    if all(record.post_model_sha256 is None for record in case.records):
        return not_applicable("nothing was trained")
    for before, after in pairwise(case.records):
        if before.post_model_sha256 != after.pre_model_sha256:
            return judged(
                False, f"record {after.number} begins with another model than record {before.number} left"
            )
    return judged(True, f"{len(case.records)} records, each with the model that the one before left")


def altered_found(case: Case, policy: Policy) -> Finding:
    """The chain of hashes holds, and would not if one of them were altered."""
    if case.links is None:
        return NO_LOG
    if (broken := broken_link(case.links)) is not None:
        return judged(False, broken)
    if case.manifest is not None and case.links and case.links[-1].sha256 != case.manifest.audit.head:
        return judged(False, "the chain ends with another hash than the manifest has")
    numbers = sorted({0, len(case.links) // 2, len(case.links) - 1})
    for number in numbers:
        altered = list(case.links)
        altered[number] = altered[number]._replace(sha256=_other(altered[number].sha256))
        if broken_link(altered) is None:
            return judged(False, f"an altered hash of record {number} is not found")
    tried = ", ".join(map(str, numbers))
    return judged(True, f"{len(case.links)} hashes hold; altered ones (of records {tried}) are found")


def hashes_tell(case: Case, policy: Policy) -> Finding:
    """Hashes of configuration and model are those of what is there, and of nothing else."""
    if case.manifest is None:
        damage = case.manifest_damage
        return NO_LOG if damage is None else judged(False, f"{MANIFEST}: {damage}")
    scenario, config, lineage = case.scenario, case.manifest.config, case.manifest.lineage
    if scenario.sha256 != config.get("scenario_sha256"):
        return judged(False, "scenario.yaml has another hash than the manifest says")
    if case.summary.get("scenario_sha256") != config.get("given_sha256"):
        return judged(False, "summary.json has another scenario_sha256 than the manifest")
    rows = case.tables.versions["model_sha256"].to_pylist()
    if not (rows and lineage):
        return judged(False, "the tables or the manifest have no version")
    said = [case.summary.get("model_sha256"), case.records[-1].post_model_sha256, lineage[-1].model_sha256]
    if any(model != rows[-1] for model in said):
        return judged(False, "summary, tables, log and manifest do not end with the same model")
    if [origin.model_sha256 for origin in lineage] != rows:
        return judged(False, "manifest and versions.parquet do not have the same models")
    changed = scenario.model_copy(update={"seed": (scenario.seed + 1) % 2**63})
    if changed.sha256 == scenario.sha256:
        return judged(False, "another seed has the same hash")
    return judged(
        True, f"the scenario's and those of {len(rows)} models are the same; another seed's is not"
    )


def times_rise(case: Case, policy: Policy) -> Finding:
    """Times have a zone and never go back, and versions are numbered one by one."""
    for record in case.records:
        if record.time != virtual_time(record.time_s):
            return judged(False, f"record {record.number}: {record.time} is not {record.time_s:g} s in UTC")
    for before, after in pairwise(case.records):
        if after.time_s < before.time_s:
            return judged(False, f"record {after.number} was before record {before.number}")
    versions = [record.version for record in case.records if record.event in (INITIAL, UPDATE)]
    if versions != list(range(len(versions))):
        return judged(False, f"versions are not numbered one by one: {versions[:20]}")
    return judged(True, f"{len(case.records)} times in UTC; versions 0 to {len(versions) - 1}")


def rebuilt(case: Case, policy: Policy) -> Finding:
    """The chain of the log, and the way from model to model, follow from the manifest alone."""
    manifest = case.manifest
    if manifest is None:
        damage = case.manifest_damage
        return NO_LOG if damage is None else judged(False, f"{MANIFEST}: {damage}")
    chain, lineage = manifest.audit, manifest.lineage
    if len(chain.bodies) != chain.records or head_of(chain.bodies) != chain.head:
        return judged(False, "what the records say does not lead to the chain's last hash")
    if [origin.version for origin in lineage] != list(range(len(lineage))):
        return judged(False, "the lineage leaves out versions")
    for origin in lineage:
        if any(part.base_version >= origin.version for part in origin.tasks):
            return judged(False, f"version {origin.version} has a task that started from a later one")
    initial = None if manifest.model is None else manifest.model.get("initial_sha256")
    if lineage and lineage[0].model_sha256 != initial:
        return judged(False, "the lineage begins with another model than the manifest's")
    return judged(True, f"{chain.records} records lead to {chain.head[:16]}…; {len(lineage)} versions")


def _other(digest: str) -> str:
    return ("1" if digest[:1] == "0" else "0") + digest[1:]
