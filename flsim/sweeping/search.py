"""A search for the best values of some keys: trials that go by what earlier ones came to.

What is tried next is Optuna's to say (extra `search`): its tree-structured Parzen estimator, seeded. The
trials are ordinary runs, one for each of the scenario's seeds, and their folders are all there is to a
search: the same command asks the same trials again, and finds those done that are.
Reference: Bergstra et al., NeurIPS 2011.
"""

import csv
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flsim.errors import FlsimError, RunError, ScenarioError
from flsim.observe.comparison import FinishedRun, read_run
from flsim.observe.files import write_bytes
from flsim.scenario import read_scenario
from flsim.scenario.reading import to_yaml
from flsim.sweeping.grid import Variation, literal
from flsim.sweeping.objective import Objective
from flsim.sweeping.processes import here
from flsim.sweeping.runs import CarryOut, Outcome, folder_of, run_all
from flsim.sweeping.space import Choice, Range, Space
from flsim.untrusted import harmless_row

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as Asked

_NOT_REACHED = "the target was not reached"
Values = Mapping[str, object]


@dataclass(frozen=True)
class Trial:
    """Values that were tried, and the objective's mean over the seeds, or why there is none.

    `run`: what the names of its runs begin with. `resumed`: all its runs had been there.
    """

    number: int
    run: str
    values: Values
    value: float | None
    error: str | None = None
    resumed: bool = False

    @property
    def missed(self) -> bool:
        """Whether its runs came to their ends, but not to the target."""
        return self.error == _NOT_REACHED


@dataclass(frozen=True)
class Found:
    """What a search came to. `importance`: of the keys, by their share of the objective's variance."""

    folder: Path
    objective: Objective
    trials: Sequence[Trial]
    best: Trial
    scenario: Path
    importance: Mapping[str, float]

    @property
    def ranked(self) -> list[Trial]:
        """The trials that have a value, the best first; of equals the earlier one."""
        return ranked(self.trials, self.objective)


Watch = Callable[[Trial, bool], None]
"""Told of each trial as it ends, and whether it is the best so far."""


def _unwatched(trial: Trial, is_best: bool) -> None: ...


@dataclass(frozen=True)
class Plan:
    """How a search goes about it. `batch`: trials that are asked together and know nothing of each other.

    What is found depends on all of these, and not on how many runs go on at a time.
    """

    trials: int = 30
    batch: int = 1
    seed: int = 0
    seeds: Sequence[int] = field(default=())  # of the scenario; none: its own


def search(
    file: Path,
    space: Space,
    objective: Objective,
    plan: Plan = Plan(),
    overrides: Sequence[str] = (),
    *,
    out: str | None = None,
    workers: int | None = None,
    fresh: bool = False,
    carry_out: CarryOut = here,
    watch: Watch = _unwatched,
) -> Found:
    """Search a scenario file's space; write search.csv, the runs and best.yaml, and return what was found.

    A trial that fails, or never reaches the target, is avoided afterwards. `out`, `workers`, `fresh` and
    `carry_out` as for sweep. Raises ScenarioError before anything runs, and RunError if no trial came to
    a value.
    """
    optuna = _import_optuna()
    if "seed" in space and plan.seeds:
        raise ScenarioError("seed: is averaged over, so it cannot be searched as well")
    folder = folder_of(file, overrides, out)
    study = _study(optuna, objective, plan.seed)
    trials: list[Trial] = []
    known: dict[str, Trial] = {}
    while len(trials) < plan.trials:
        batch = range(len(trials), min(len(trials) + plan.batch, plan.trials))
        asked = [study.ask() for _ in batch]
        tried = [_values(each, space) for each in asked]
        groups = {
            _key(values): _variations(number, values, plan.seeds)
            for number, values in reversed(list(zip(batch, tried, strict=True)))
            if _key(values) not in known
        }
        outcomes = run_all(
            file,
            [variation for group in groups.values() for variation in group],
            overrides,
            folder=folder,
            carry_out=carry_out,
            workers=workers,
            fresh=fresh,
        )
        by_name = {outcome.variation.name: outcome for outcome in outcomes}
        for number, optuna_trial, values in zip(batch, asked, tried, strict=True):
            key = _key(values)
            if key in known:  # the same again is the same again
                same = known[key]
                trial = Trial(number, same.run, values, same.value, same.error, same.resumed)
                runs = _read(folder, same.run, plan.seeds) if same.missed else []
            else:
                ended = [by_name[variation.name] for variation in groups[key]]
                trial, runs = _judged(number, values, ended, folder, objective)
                known[key] = trial
            _tell(optuna, study, optuna_trial, trial, objective, runs)
            trials.append(trial)
            watch(trial, ranked(trials, objective)[:1] == [trial])
        _write_table(folder / "search.csv", trials, objective)
    if not (best := ranked(trials, objective)[:1]):
        why = next((trial.error for trial in trials if trial.error is not None), "")
        raise RunError(f"none of {len(trials)} trials came to a value; the first: {why}")
    scenario = _write_best(file, overrides, best[0], plan, out, folder)
    return Found(folder, objective, trials, best[0], scenario, _importance(optuna, study, plan.seed))


def ranked(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    """Return the trials that have a value, the best first; of equals the earlier one."""
    sign = -1 if objective.maximise else 1
    valued = [(sign * trial.value, trial.number, trial) for trial in trials if trial.value is not None]
    return [trial for *_, trial in sorted(valued, key=lambda each: each[:2])]


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ScenarioError("flsim search needs optuna; pip install 'flsim-des[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _study(optuna: Any, objective: Objective, seed: int) -> "Study":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some releases call the constant liar experimental
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    direction = "maximize" if objective.maximise else "minimize"
    study: Study = optuna.create_study(sampler=sampler, direction=direction)
    return study


def _values(trial: "Asked", space: Space) -> Values:
    """Return what a trial is to try."""
    values: dict[str, object] = {}
    for key, tried in space.items():
        match tried:
            case Range(low, high, whole=True):
                values[key] = trial.suggest_int(key, int(low), int(high), log=tried.log)
            case Range(low, high):
                values[key] = tried.rounded(trial.suggest_float(key, low, high, log=tried.log))
            case Choice(choices):
                names = [f"{place}: {literal(value)}" for place, value in enumerate(choices)]
                values[key] = choices[names.index(trial.suggest_categorical(key, names))]
    return values


def _key(values: Values) -> str:
    return "\n".join(f"{key}={literal(value)}" for key, value in values.items())


def _variations(number: int, values: Values, seeds: Sequence[int]) -> list[Variation]:
    name = f"trial-{number}"
    if not seeds:
        return [Variation(name, values)]
    return [Variation(f"{name}_seed-{seed}", {**values, "seed": seed}) for seed in seeds]


def _judged(
    number: int, values: Values, outcomes: Sequence[Outcome], folder: Path, objective: Objective
) -> tuple[Trial, list[FinishedRun]]:
    """Return what a trial came to, and its runs as far as they were finished."""
    name = f"trial-{number}"
    resumed = all(outcome.resumed for outcome in outcomes)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors:
        return Trial(number, name, values, None, errors[0], resumed), []
    try:
        runs = [read_run(folder / outcome.variation.name) for outcome in outcomes]
        value = objective.value(runs)
    except FlsimError as error:
        return Trial(number, name, values, None, str(error), resumed), []
    return Trial(number, name, values, value, _NOT_REACHED if value is None else None, resumed), runs


def _read(folder: Path, run: str, seeds: Sequence[int]) -> list[FinishedRun]:
    names = [f"{run}_seed-{seed}" for seed in seeds] or [run]
    return [read_run(folder / name) for name in names]


def _tell(
    optuna: Any,
    study: "Study",
    asked: "Asked",
    trial: Trial,
    objective: Objective,
    runs: Sequence[FinishedRun],
) -> None:
    """Tell the sampler what came of a trial.

    What never came to the target counts as pruned, and the less it fell short the better; what failed, as
    pruned before its first step, which is the worst. The sampler avoids both.
    """
    if trial.value is not None:
        study.tell(asked, trial.value)
        return
    if trial.missed:
        asked.report(objective.shortfall(runs), step=0)
    study.tell(asked, state=optuna.trial.TrialState.PRUNED)


def _write_table(path: Path, trials: Sequence[Trial], objective: Objective) -> None:
    """Write a row for every trial: the keys, the objective, or an error."""
    text = io.StringIO()
    keys = list(trials[0].values)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(harmless_row(["trial", "run", *keys, str(objective), "error"]))
    for trial in trials:
        tried = [literal(trial.values[key]) for key in keys]
        value = "" if trial.value is None else repr(trial.value)
        writer.writerow(harmless_row([trial.number, trial.run, *tried, value, trial.error or ""]))
    write_bytes(path, text.getvalue().encode())


def _write_best(
    file: Path, overrides: Sequence[str], best: Trial, plan: Plan, out: str | None, folder: Path
) -> Path:
    """Write the best trial's scenario, with every default written out, and return where.

    It bears the name of the scenario with "-best" behind it, and the first of the seeds.
    """
    seed = {"seed": plan.seeds[0]} if plan.seeds else {}
    changes = [*overrides, *Variation("best", {**best.values, **seed}).overrides]
    scenario = read_scenario(file, changes)
    output = scenario.output if out is None else scenario.output.model_copy(update={"dir": out})
    named = scenario.model_copy(update={"name": f"{scenario.name[:95]}-best", "output": output})
    path = folder / "best.yaml"
    write_bytes(path, to_yaml(named).encode())
    return path


def _importance(optuna: Any, study: "Study", seed: int) -> Mapping[str, float]:
    """Return the share of each key in the variance of the objective; nothing where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # fewer than two values, or all of them the same
            return {}
    return {key: float(share) for key, share in found.items()}
