"""Resuming: a run that was killed or interrupted goes on, and ends as if nothing had happened.

The timeline follows from the scenario and from what the learner has told the world, which the journal has.
So the world runs once more from the start, with those answers, which takes no training; at the last
checkpoint the learner takes over what it then remembered, and the run goes on. On the way the records are
made anew, and held against the journal.
"""

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flsim.durable.before import Before, begun, read_before
from flsim.errors import RunError, ScenarioError
from flsim.observe.blocks import JOURNAL
from flsim.observe.folder import SCENARIO, reopen_folder
from flsim.observe.tables import ended_by
from flsim.plug_ins import error_text
from flsim.results import Run
from flsim.running import Plan, carry_out
from flsim.scenario import Scenario, read_scenario
from flsim.sim.surroundings import Watch
from flsim.sim.world import unwatched
from flsim.untrusted import content_of

_log = logging.getLogger(__name__)


def resume(folder: Path, *, watch: Watch = unwatched) -> Run:
    """Go on with the run in `folder` from its last checkpoint, or from the start without one.

    `watch` is shown what is new. Raises RunError if the run has finished, was of another scenario than the
    folder's scenario.yaml, was made by another flsim or another torch, or is still going on.
    """
    begun_s = time.perf_counter()
    scenario, path = scenario_in(folder), folder / SCENARIO
    if not (folder / JOURNAL).is_file():
        raise RunError(f"{folder}: it has no {JOURNAL}, from which a run is resumed; run {path} instead")
    ending = ended_by(folder)
    if ending is not None and ending.stop_reason != "interrupted" and (folder / "summary.json").exists():
        raise RunError(f"{folder}: the run has finished ({ending.stop_detail}): there is nothing to resume")
    before, first = read_before(folder)
    if first is not None:
        _check(path, first)
    for warning in before.warnings:
        _log.warning("%s: %s", folder, warning)
    _tell(folder, before)
    timing_only = first is not None and first["timing_only"]
    given_sha256 = scenario.sha256 if first is None else first["scenario_sha256"]
    plan = Plan(scenario, given_sha256, timing_only, watch, begun_s)
    with _naming_what_it_goes_on_from(folder, before):
        return carry_out(plan, lambda _: reopen_folder(folder), before)


@contextmanager
def _naming_what_it_goes_on_from(folder: Path, before: Before) -> Iterator[None]:
    """Make an error a RunError that may follow from a journal or a checkpoint that was made up.

    Both are read as plain data. Whether a learner can go on from them turns out when it does.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if not before.taken:
            raise
        raise RunError(
            f"{folder}: it cannot go on from its journal and the checkpoint of version "
            f"{before.taken[-1].version} ({error_text(error)[:200]}): they were changed, or this is a "
            "defect; -v shows where it happened"
        ) from error


def scenario_in(folder: Path) -> Scenario:
    """Return the scenario of the run in a folder. Raises RunError if it has none."""
    if not (folder / SCENARIO).is_file():
        raise RunError(f"{folder}: no folder of a run: it has no {SCENARIO}")
    return read_scenario(folder / SCENARIO)


def _check(path: Path, first: Mapping[str, Any]) -> None:
    """Raise RunError unless the run can be repeated here, from this scenario."""
    here = begun("", "", timing_only=False)
    for package in ("flsim", "torch"):
        if first.get(package) != here[package]:
            raise RunError(
                f"{path.parent}: the run was begun by {package} {first.get(package)}, and this is "
                f"{here[package]}: it could end otherwise; resume it where it was begun"
            )
    try:
        unchanged = hashlib.sha256(content_of(path)).hexdigest() == first.get("scenario_yaml_sha256")
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    if not unchanged:
        raise RunError(
            f"{path} was changed since the run was begun; what it describes now is another run: "
            f"flsim run {path}"
        )


def _tell(folder: Path, before: Before) -> None:
    if before.taken:
        _log.info("%s: resumed from the checkpoint of version %d", folder, before.taken[-1].version)
    else:
        _log.info("%s: there is no checkpoint: resumed from the start", folder)
