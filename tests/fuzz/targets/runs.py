"""What else a run's folder holds: its scenario, summary, metrics and progress; and a sweep's table."""

import json

from flsim.observe.comparison import compare, folders_of, read_run
from flsim.observe.comparison_table import as_csv, markdown
from flsim.observe.live.reading import ProgressReader
from flsim.observe.scenario_file import scenario_data
from flsim.observe.timeline import Deadlines
from flsim.results import FLMetrics, load
from tests.fuzz.place import folder, placed
from tests.fuzz.target import CORPUS, Target

_FILES = {"run_scenario": "scenario.yaml", "summary": "summary.json", "metrics": "metrics.json"}


def _good(target: str) -> bytes:
    return (CORPUS / target / _FILES[target]).read_bytes()


def _place(changed: str, content: bytes) -> None:
    for target, name in _FILES.items():
        placed(f"finished/{name}", content if target == changed else _good(target))


def _compared() -> None:
    compared = compare([read_run(folder() / "finished")])
    as_csv(compared), markdown(compared)


def run_scenario(content: bytes) -> None:
    _place("run_scenario", content)
    _, data = scenario_data(folder() / "finished")
    Deadlines.of(data)
    _compared()


def summary(content: bytes) -> None:
    _place("summary", content)
    run = load(folder() / "finished")
    repr(run), run._repr_html_()
    _compared()


def metrics(content: bytes) -> None:
    _place("metrics", content)
    found = FLMetrics.load(folder() / "finished")
    found.rounds, found.times, found.accuracy, found.loss, found.bytes
    _compared()


def progress(content: bytes) -> None:
    placed("running/scenario.yaml", b"name: x\n")
    placed("running/progress.jsonl", content)
    reader = ProgressReader(folder() / "running")
    try:
        json.dumps(reader.read().standing, allow_nan=False)
        json.dumps(reader.read().versions, allow_nan=False)
    finally:
        reader.close()


def sweep_table(content: bytes) -> None:
    home = placed("sweep/sweep.csv", content).parent
    assert all(path.parent == home for path in folders_of(home) if path != home)


TARGETS = (
    Target("run_scenario", run_scenario),
    Target("summary", summary, "json"),
    Target("metrics", metrics, "json"),
    Target("progress", progress, "json"),
    Target("sweep_table", sweep_table),
)
