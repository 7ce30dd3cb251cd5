"""Many runs of one scenario: every combination of some keys' values, side by side."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from flsim.errors import EXIT_DONE, EXIT_INTERRUPTED, ScenarioError
from flsim.observe.files import write_bytes
from flsim.scenario import read_scenario
from flsim.sweeping.grid import Grid, Variation, literal, variations
from flsim.sweeping.processes import Command, Ended, here, on_ray
from flsim.untrusted import harmless_row, read_json

SUMMARISED = ("stop_reason", "updates", "virtual_time_s", "final_accuracy", "records_sha256")


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its summary as summary.json has it, or an error.

    `resumed`: an earlier sweep had finished it.
    """

    variation: Variation
    summary: Mapping[str, Any]
    error: str | None
    resumed: bool = False

    @property
    def row(self) -> dict[str, object]:
        """The run's row of sweep.csv."""
        summarised = {key: self.summary.get(key) for key in SUMMARISED}
        leaked = {
            f"leakage.{seen}.{attack}": means["score"]
            for seen, attacks in self.summary.get("leakage", {}).items()
            for attack, means in attacks.items()
        }
        row = {"run": self.variation.name, **self.variation.values, **summarised}
        central = (self.summary.get("metrics") or {}).get("central") or {}
        measured = {f"metrics.{name}": value for name, value in central.items() if name != "version"}
        return {**row, "error": self.error, **leaked, **measured}


@dataclass(frozen=True)
class _Planned:
    """A run that is to be: how it is started, and the hash of its scenario; or what is wrong with that."""

    variation: Variation
    folder: Path
    command: Command
    sha256: str | None
    error: str | None = None

    @property
    def finished(self) -> Mapping[str, Any] | None:
        """The summary of the same scenario's run in the same folder, if that came to its end."""
        try:
            summary = read_json(self.folder / "summary.json")
        except (OSError, ValueError):
            return None
        if not isinstance(summary, dict) or summary.get("stop_reason") in (None, "interrupted"):
            return None
        return (
            summary if self.sha256 is not None and summary.get("scenario_sha256") == self.sha256 else None
        )


Watch = Callable[[Outcome, int], None]
"""Told of each run as it ends, and how many there are in all."""


class CarryOut(Protocol):
    """Runs commands, so many at a time (None: one for each core), and yields them as they end."""

    def __call__(self, commands: Sequence[Command], *, workers: int | None) -> Iterator[Ended]:
        """Run them."""
        ...


def unwatched(outcome: Outcome, runs: int) -> None:
    """Show nothing."""


def sweep(
    file: Path,
    grids: Sequence[Grid],
    overrides: Sequence[str] = (),
    *,
    out: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    fresh: bool = False,
    watch: Watch = unwatched,
) -> tuple[Path, list[Outcome]]:
    """Run a scenario file in all variations; return the folder of the runs and what became of each.

    Every run is a process of its own, `workers` at a time (None: one for each core), here or, with the
    address `ray`, on a cluster whose machines see the same files ("local" starts one here). A run that
    fails is an outcome, too. One that an earlier sweep has finished, by the hash of its scenario, is not
    run again unless `fresh`. `watch` is told of each run as it ends. Writes sweep.csv into the folder.
    Raises ScenarioError before anything runs.
    """
    folder = folder_of(file, overrides, out)
    carry_out = partial(on_ray, address=ray) if ray else here
    outcomes = run_all(
        file,
        variations(grids),
        overrides,
        folder=folder,
        carry_out=carry_out,
        workers=workers,
        fresh=fresh,
        watch=watch,
    )
    _write_table(folder / "sweep.csv", outcomes)
    return folder, outcomes


def folder_of(file: Path, overrides: Sequence[str], out: str | None) -> Path:
    """Return the folder below which many runs of a scenario are. Raises ScenarioError."""
    scenario = read_scenario(file, overrides)
    return (Path(scenario.output.dir if out is None else out).expanduser() / scenario.name).absolute()


def run_all(
    file: Path,
    varied: Sequence[Variation],
    overrides: Sequence[str] = (),
    *,
    folder: Path,
    carry_out: CarryOut = here,
    workers: int | None = None,
    fresh: bool = False,
    watch: Watch = unwatched,
) -> list[Outcome]:
    """Run a scenario file in some variations, as sweep does; return what became of each, in their order.

    `carry_out`: what runs commands, so many at a time, and yields them as they end.
    """
    planned = [_plan(file.absolute(), overrides, each, folder) for each in varied]
    outcomes: dict[int, Outcome] = {}

    def end(number: int, outcome: Outcome) -> None:
        outcomes[number] = outcome
        watch(outcome, len(planned))

    for number, each in enumerate(planned):
        if each.error is not None:
            end(number, Outcome(each.variation, {}, each.error))
        elif not fresh and (summary := each.finished) is not None:
            end(number, Outcome(each.variation, summary, None, resumed=True))
    left = [number for number in range(len(planned)) if number not in outcomes]
    commands = [planned[number].command for number in left]
    for place, code, said in carry_out(commands, workers=workers):
        end(left[place], _outcome(planned[left[place]], code, said))
    return [outcomes[number] for number in range(len(planned))]


def _plan(file: Path, overrides: Sequence[str], variation: Variation, folder: Path) -> _Planned:
    changes = [*overrides, *variation.overrides, f"name={json.dumps(variation.name)}"]
    settings = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "flsim", "run", str(file), "--quiet", "--out", str(folder), *settings]
    own = folder / variation.name
    try:
        return _Planned(variation, own, command, read_scenario(file, changes).sha256)
    except ScenarioError as error:
        return _Planned(variation, own, command, None, str(error))


def _outcome(planned: _Planned, code: int, said: str) -> Outcome:
    if code == EXIT_DONE:
        summary = json.loads((planned.folder / "summary.json").read_text())
        return Outcome(planned.variation, summary, None)
    why = "interrupted" if code == EXIT_INTERRUPTED else said.strip().removeprefix("error: ")
    return Outcome(planned.variation, {}, why or f"exit code {code}")


def _write_table(path: Path, outcomes: Sequence[Outcome]) -> None:
    rows = [outcome.row for outcome in outcomes]
    text = io.StringIO()
    varied = dict.fromkeys(key for outcome in outcomes for key in outcome.variation.values)
    columns = list(dict.fromkeys(["run", *varied, *(column for row in rows for column in row)]))
    table = csv.writer(text, lineterminator="\n")
    table.writerow(harmless_row(columns))
    for row in rows:
        table.writerow(harmless_row(_cell(row.get(column)) for column in columns))
    write_bytes(path, text.getvalue().encode())


def _cell(value: object) -> str:
    return "" if value is None else literal(value)
