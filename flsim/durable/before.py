"""What a run has done before it was killed, by its journal, and a learner that goes on from there."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flsim.durable.answers import Answers
from flsim.durable.checkpoints import Checkpoints, Taken, usable
from flsim.durable.recorded import RecordedRoot, Resumable
from flsim.errors import RunError
from flsim.observe.blocks import JOURNAL, Blocks
from flsim.observe.framed import FrameAt
from flsim.observe.journal import ParquetJournal
from flsim.observe.recovery import Recovered, recover
from flsim.scenario import Scenario


@dataclass(frozen=True)
class Before:
    """What a run goes over again: the frames of its journal, its learner's answers, and its checkpoints.

    `frames`: None for a run that begins. `warnings`: what is wrong with what comes after.
    """

    frames: Sequence[FrameAt] | None
    answers: Mapping[int, Any]
    taken: Sequence[Taken]
    warnings: Sequence[str] = ()


_OF_BEGUN = {
    **dict.fromkeys(("flsim", "torch", "scenario_yaml_sha256", "scenario_sha256"), str),
    "timing_only": bool,
}
UNTRODDEN = Before(None, {}, ())
"""Nothing: the run begins."""


def begun(scenario_yaml: str, given_sha256: str, *, timing_only: bool) -> dict[str, object]:
    """Return the first entry of a journal: which run it is of, and by what it is made."""
    return {
        "flsim": _version("flsim-des"),
        "torch": _version("torch"),
        "scenario_yaml_sha256": hashlib.sha256(scenario_yaml.encode()).hexdigest(),
        "scenario_sha256": given_sha256,
        "timing_only": timing_only,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # flsim runs from its repository, too
        return "0"


def recorded(
    scenario: Scenario,
    folder: Path,
    learner: Resumable,
    journal: ParquetJournal,
    blocks: Blocks,
    before: Before,
) -> RecordedRoot:
    """Return a learner whose answers go to the journal, and which takes checkpoints."""
    answers = Answers(blocks.answer, before.answers, before.taken[-1].answers if before.taken else 0)
    checkpoints = Checkpoints(scenario.checkpoint, folder, learner, answers, journal.note, before.taken)
    return RecordedRoot(learner, answers, checkpoints.made)


def first_entry(found: Recovered) -> Mapping[str, Any] | None:
    """Return what `begun` was; None if a run was killed before that was written.

    Raises ValueError if it is something else.
    """
    entry = next((data for name, data, _ in found.notes if name == "run"), None)
    if entry is None:
        return None
    if not isinstance(entry, dict) or not all(
        isinstance(entry.get(key), kind) for key, kind in _OF_BEGUN.items()
    ):
        raise ValueError("its first entry does not say how the run was begun")
    return entry


def read_before(folder: Path) -> tuple[Before, Mapping[str, Any] | None]:
    """Return what the run of a folder has done up to its last checkpoint, and the journal's first entry.

    A checkpoint that cannot be used, or that is behind damage to the journal, counts for nothing;
    `warnings` says so. Raises RunError if there is no journal.
    """
    found = recover(folder / JOURNAL, with_rows=False)
    warnings = [] if found.frames.damage is None else [found.frames.damage]
    entries = [(data, frame) for name, data, frame in found.notes if name == "checkpoint"]
    try:
        first = first_entry(found)
        taken, wrong = usable(folder, [data for data, _ in entries])
        if not taken:
            return Before(None, {}, (), [*warnings, *wrong]), first
        last = entries[len(taken) - 1][1]
        answers = {
            number: answer
            for name, data, frame in found.notes
            if name == "answers" and frame.end <= last.end
            for number, answer in data
        }
    except (TypeError, ValueError) as error:
        raise RunError(f"{folder / JOURNAL} is not a journal of this flsim: {error}") from error
    frames = [frame for frame in found.frames.whole if frame.end <= last.end]
    return Before(frames, answers, taken, [*warnings, *wrong]), first
