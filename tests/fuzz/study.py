"""The long study: so many inputs over all targets, each target in a process of its own."""

import logging
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.guard import Guard
from tests.fuzz.mutation import made
from tests.fuzz.target import Target, corpus

_FORK = multiprocessing.get_context("fork")
_ALONE_S = 1800  # for a process that neither Python nor a signal can stop
IMPORTS_S = 60.0  # of the processor's time for the inputs that come first
_SILENT = "the process has died, or hangs; its last input is kept"


@dataclass
class Told:
    """What came of a target: how many inputs it had, its slowest, and what was wrong."""

    target: str
    inputs: int = 0
    slowest_s: float = 0.0
    grown_mib: float = 0.0
    faults: list[str] = field(default_factory=list)


def in_this_process(target: Target, inputs: int, seed: int, kept: Path | None = None) -> Told:
    """Give a target so many inputs. Those at fault, ten at most, are kept in a folder."""
    logging.disable(logging.CRITICAL)  # what a reader is warned of
    guard, told = Guard(), Told(target.name)
    for content in corpus(target):
        guard.fault(target, content, IMPORTS_S)  # so that all is imported
    guard.begin()
    seen: set[str] = set()
    for number in range(inputs):
        content = made(target, seed + number)
        if kept is not None:
            (kept / f"{target.name}.last").write_bytes(content)
        fault = guard.fault(target, content)
        told.inputs += 1
        if fault is not None and (what := "\n".join(fault.splitlines()[-4:])) not in seen:
            seen.add(what)
            told.faults.append(f"input {seed + number}: {fault}")
            if kept is not None and len(seen) <= 10:
                (kept / f"{target.name}.{seed + number}").write_bytes(content)
    told.slowest_s, told.grown_mib = guard.slowest_s, guard.grown / 2**20
    return told


def in_its_own(target: Target, inputs: int, seed: int, kept: Path) -> Told:
    """Do the same in a process that is forked from this one, whose death is a fault, too."""
    kept.mkdir(parents=True, exist_ok=True)
    here, there = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_tell, args=(there, target, inputs, seed, kept))
    process.start()
    there.close()
    try:
        told: Told = here.recv() if here.poll(_ALONE_S) else Told(target.name, faults=[_SILENT])
    except EOFError:
        told = Told(target.name, faults=[_SILENT])
    process.kill()
    process.join()
    if not told.faults:
        (kept / f"{target.name}.last").unlink(missing_ok=True)
    return told


def _tell(there: Connection, target: Target, inputs: int, seed: int, kept: Path) -> None:
    there.send(in_this_process(target, inputs, seed, kept))


def study(targets: list[Target], inputs: int, seed: int, kept: Path) -> Iterator[Told]:
    """Yield what came of each target. The inputs are dealt by what is a target's share."""
    shares = sum(target.share for target in targets)
    dealt, reached = 0, 0.0
    for target in targets:
        reached += target.share
        own = round(inputs * reached / shares) - dealt
        dealt += own
        yield in_its_own(target, own, seed, kept)
