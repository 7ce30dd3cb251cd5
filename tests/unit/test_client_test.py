"""The clients' own tests: what they say, of which models, when, and that they change nothing else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor
from torch.func import functional_call

from flsim.learn import client_test
from flsim.learn.client_data import ClientData
from flsim.learn.client_test import ClientTest
from flsim.learn.models import build, initialised
from flsim.learn.problem import Problem
from flsim.learn.weights import Layout
from flsim.observe.client_accuracy import distribution, distributions
from flsim.observe.tables import Tables, read_tables
from flsim.records import ClientEvaluations
from flsim.running import run
from flsim.scenario import read_scenario, scenario_from
from flsim.scenario.model import Mlp
from flsim.scenario.reading import to_yaml
from flsim.sim.world import simulate
from flsim.tasks import TrainingReport
from tests.memory import MemoryJournal
from tests.tiny import Tiny, scenario_data, tiny

ROUNDS = {"kind": "sync", "cohort": 4}
CERTAIN = {"kind": "fedasync", "concurrency": 4}
UNCERTAIN = {"kind": "fedasync", "concurrency": 4, "max_staleness": 1000}  # which may discard
PERSONAL: list[dict[str, Any] | None] = [
    None,
    {"kind": "fine_tune"},
    {"kind": "fedper"},
    {"kind": "fedrep"},
    {"kind": "ditto"},
]
each_kind = pytest.mark.parametrize("personalization", PERSONAL, ids=lambda p: p["kind"] if p else "global")


def scenario(
    strategy: dict[str, Any] = ROUNDS,
    personalization: dict[str, Any] | None = None,
    every: int | None = 2,
    updates: int = 5,
    **sections: Any,
) -> dict[str, Any]:
    tests = {"evaluation": {"clients": {"every": every}}} if every else {}
    data = scenario_data(
        6, strategy, stop={"updates": updates}, personalization=personalization, **tests, **sections
    )
    data["workload"]["data"]["client_test_share"] = 0.3
    return data


def finished(data: dict[str, Any]) -> tuple[Tiny, ClientEvaluations, MemoryJournal]:
    of, journal = tiny(data), MemoryJournal()
    simulate(of.scenario, of.costs, of.learner, journal)
    of.learner.finish()
    report = of.learner.close()
    assert report.clients is not None
    return of, report.clients, journal


def scores(of: Tiny, flat: Tensor, client: int) -> Tensor:
    with torch.no_grad():
        return functional_call(of.module, of.layout.views(flat), of.held_out.of(client)[0])


@each_kind
def test_accuracy_and_loss_are_scikit_learns(personalization: dict[str, Any] | None) -> None:
    of, found, _ = finished(scenario(personalization=personalization))
    weights, version = of.learner.weights, of.learner._current
    models = of.learner._trainer.models(weights, version, range(6)) or [weights] * 6
    last = found.version == version
    assert found.client[last].tolist() == list(range(6))
    assert found.samples[last].tolist() == of.held_out.sizes
    for client, accuracy, loss in zip(range(6), found.accuracy[last], found.loss[last], strict=True):
        y, logits = of.held_out.of(client)[1].numpy(), scores(of, models[client], client)
        assert accuracy == accuracy_score(y, logits.argmax(1).numpy())
        probabilities = logits.double().softmax(1).numpy()
        assert loss == pytest.approx(log_loss(y, probabilities, labels=[0, 1, 2]), rel=1e-5)
    assert len(set(found.accuracy)) > 2


@each_kind
@pytest.mark.parametrize(
    ("every", "versions"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4, 5]), (5, [0, 5]), (9, [0, 5])]
)
def test_every_so_many_versions_and_the_last_are_tested(
    personalization: dict[str, Any] | None, every: int, versions: list[int]
) -> None:
    _, found, _ = finished(scenario(personalization=personalization, every=every))
    assert found.version.tolist() == [version for version in versions for _ in range(6)]
    assert found.client.tolist() == list(range(6)) * len(versions)


@each_kind
def test_a_test_in_between_changes_none_of_the_others(personalization: dict[str, Any] | None) -> None:
    """Nor the model, nor the records."""
    (of, often, records), (other, seldom, others) = (
        finished(scenario(personalization=personalization, every=every)) for every in (1, 5)
    )
    first_and_last = np.isin(often.version, [0, 5])
    assert np.array_equal(often.accuracy[first_and_last], seldom.accuracy)
    assert np.array_equal(often.loss[first_and_last], seldom.loss)
    assert torch.equal(of.learner.weights, other.learner.weights)
    assert records.tasks == others.tasks


@pytest.mark.parametrize("personalization", PERSONAL[2:], ids=lambda p: p["kind"])
def test_training_ahead_of_a_version_is_not_seen_in_its_test(personalization: dict[str, Any]) -> None:
    """Tasks train one by one, or long before they are needed: every version's tests are the same."""
    ahead, one_by_one = (
        finished(scenario(strategy, personalization, every=1, updates=15))
        for strategy in (CERTAIN, UNCERTAIN)
    )
    assert ahead[0].learner._batches < one_by_one[0].learner._batches
    assert np.array_equal(ahead[1].accuracy, one_by_one[1].accuracy)
    np.testing.assert_allclose(ahead[1].loss, one_by_one[1].loss, rtol=1e-6)


@pytest.mark.parametrize("personalization", PERSONAL[2:], ids=lambda p: p["kind"])
def test_what_is_under_way_when_the_run_ends_is_not_seen_in_the_last_test(
    personalization: dict[str, Any],
) -> None:
    """The last version is tested as it would have been if the run had gone on."""
    _, short, _ = finished(scenario(CERTAIN, personalization, every=6, updates=6))
    _, long, _ = finished(scenario(CERTAIN, personalization, every=6, updates=9))
    np.testing.assert_allclose(short.loss, long.loss[long.version <= 6], rtol=1e-6)


@each_kind
def test_a_scenario_reads_back_as_it_was_resolved(tmp_path: Path, personalization: Any) -> None:
    made = scenario_from(scenario(personalization=personalization))
    (tmp_path / "resolved.yaml").write_text(to_yaml(made))
    assert read_scenario(tmp_path / "resolved.yaml") == made


def test_clients_without_held_out_samples_are_left_out() -> None:
    test, _, flat = client_tests([3, 0, 5, 0])
    test.begin(0, flat, lambda *_: None)
    found = test.evaluations()
    test.close()
    assert found.client.tolist() == [0, 2]
    assert found.samples.tolist() == [3, 5]


def client_tests(sizes: list[int]) -> tuple[ClientTest, Layout, Tensor]:
    torch.set_num_threads(1)
    module = initialised(build(Mlp(hidden=[4]), Problem((6,), 3)), 1)
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(sum(sizes), 6, generator=generator), torch.arange(sum(sizes)) % 3
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    layout = Layout(module)
    return ClientTest(module, layout, ClientData(x, y, parts), 1), layout, layout.flatten(module)


def test_nobody_has_held_out_samples() -> None:
    test, _, flat = client_tests([0, 0])
    test.begin(0, flat, lambda *_: None)
    assert len(test.evaluations().version) == 0
    test.close()


def test_models_of_their_own_are_made_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    test, layout, flat = client_tests([300, 2, 4, 270, 1])
    monkeypatch.setattr(client_test, "_OWN_BYTES", 2 * layout.size_bytes)
    asked: list[list[int]] = []

    def models(weights: Tensor, version: int, clients: Any) -> list[Tensor]:
        asked.append(list(clients))
        return [weights] * len(clients)

    test.begin(0, flat, lambda *_: None)
    test.begin(1, flat, models)
    found = test.evaluations()
    test.close()
    assert asked == [[0, 1], [2, 3], [4]]
    assert np.array_equal(found.accuracy[:5], found.accuracy[5:])
    np.testing.assert_allclose(found.loss[:5], found.loss[5:], rtol=1e-6)


# What becomes of it


def test_a_distribution_is_numpys() -> None:
    values = np.random.default_rng(1).random(37)
    found = distribution(values)
    assert found == {
        "mean": pytest.approx(values.mean()),
        "std": pytest.approx(values.std()),
        "min": values.min(),
        "p10": pytest.approx(np.quantile(values, 0.1)),
        "median": pytest.approx(np.quantile(values, 0.5)),
        "p90": pytest.approx(np.quantile(values, 0.9)),
        "max": values.max(),
        "clients": 37,
        "variance": pytest.approx(values.var()),
        "gini": pytest.approx(np.abs(values[:, None] - values).mean() / (2 * values.mean())),
        "worst_tenth": pytest.approx(np.mean(sorted(values.tolist())[:4])),
    }


def test_distributions_are_by_version() -> None:
    table = pa.table({"version": [0, 0, 4], "accuracy": [0.25, 0.75, 1.0]})
    found = distributions(Tables(table, table, table, table))
    assert {version: (each["mean"], each["clients"]) for version, each in found.items()} == {
        0: (0.5, 2),
        4: (1.0, 1),
    }
    assert distributions(Tables(table, table, table)) == {}


def test_a_run_writes_it_all(tmp_path: Path) -> None:
    data = scenario(personalization={"kind": "fedper"}, output={"dir": str(tmp_path)})
    done = run(scenario_from(data))
    table = read_tables(done.folder).client_accuracy
    assert table is not None
    assert table["version"].to_pylist() == [version for version in (0, 2, 4, 5) for _ in range(6)]
    summary = done.summary["client_accuracy"]
    last = table["accuracy"].to_numpy()[-6:]
    assert summary == distribution(last) | {"version": 5, "on": "test"}
    versions = json.loads((done.folder / "metrics.json").read_text())["versions"]
    assert [row["version"] for row in versions if row["client_accuracy"]] == [0, 2, 4, 5]
    assert versions[5]["client_accuracy"] == distribution(last)
    assert (done.folder / "plots" / "client_accuracy.png").stat().st_size > 10_000


@pytest.mark.parametrize("personalization", [None, {"kind": "ditto"}], ids=["global", "ditto"])
def test_records_do_not_depend_on_it_and_timing_alone_tests_nothing(
    tmp_path: Path, personalization: dict[str, Any] | None
) -> None:
    hashes = set()
    for name, every, timing_only in (("a", 1, False), ("b", None, False), ("c", 1, True)):
        data = scenario(personalization=personalization, every=every, output={"dir": str(tmp_path)})
        done = run(scenario_from(data | {"name": name}), timing_only=timing_only)
        hashes.add(done.summary["records_sha256"])
        is_tested = name == "a"
        assert (done.folder / "client_accuracy.parquet").exists() == is_tested
        assert (done.summary["client_accuracy"] is not None) == is_tested
    assert len(hashes) == 1


def test_a_report_is_the_same_with_or_without_tests() -> None:
    some = ClientEvaluations(*[np.zeros(1)] * 5)  # type: ignore[arg-type]
    assert TrainingReport("a", "b", 1, 2, 3, some) == TrainingReport("a", "b", 1, 2, 3)
