"""metrics.json as arrays, and what is read off them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsim import FLMetrics, RunError


def row(version: int, accuracy: float | None, loss: float | None = None, **more: Any) -> dict[str, Any]:
    sent = {"bytes_up_cumulative": 100 * version, "bytes_down_cumulative": 1000 * version}
    return {
        "version": version,
        "time_s": 10.0 * version,
        "accuracy": accuracy,
        "loss": loss,
        **sent,
        **more,
    }


ROWS = [
    row(0, None, metadata=None),
    row(1, 0.3, 2.0, metadata={"converged_share": 0.0, "losses": [2.0, 1.5]}),
    row(2, None, metadata={"converged_share": 0.5, "losses": [1.0, 0.5]}),
    row(3, 0.8, 0.5, metadata={"converged_share": 1.0, "losses": [0.5, 0.4]}),
    row(4, 0.8, 0.4, metadata=None),
    row(5, 0.7, 0.6, metadata=None),
]


def test_arrays_have_a_value_for_each_version(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"versions": ROWS}))
    for path in (tmp_path, str(tmp_path), tmp_path / "metrics.json"):
        metrics = FLMetrics.load(path)
        assert metrics.name == tmp_path.name
        assert len(metrics) == 6
        assert metrics.rounds.tolist() == [0, 1, 2, 3, 4, 5]
        assert metrics.times.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
        np.testing.assert_array_equal(metrics.accuracy, [math.nan, 0.3, math.nan, 0.8, 0.8, 0.7])
        np.testing.assert_array_equal(metrics.loss, [math.nan, 2.0, math.nan, 0.5, 0.4, 0.6])
        assert metrics.bytes_up.tolist() == [0, 100, 200, 300, 400, 500]
        assert metrics.bytes_down.tolist() == [0, 1000, 2000, 3000, 4000, 5000]
        assert metrics.bytes.tolist() == [0, 1100, 2200, 3300, 4400, 5500]


def test_the_best_is_the_earliest_of_the_most_accurate() -> None:
    metrics = FLMetrics(ROWS, "made up")
    assert metrics.best == (3, 30.0, 3300, 0.8, 0.5)
    assert metrics.final == (5, 50.0, 5500, 0.7, 0.6)
    assert repr(metrics) == "<FLMetrics made up: 6 versions, best accuracy 0.8000 in round 3>"


def test_without_accuracy_the_least_loss_is_the_best() -> None:
    metrics = FLMetrics([row(0, None, 3.0), row(1, None, 1.0), row(2, None, 1.0), row(3, None, 2.0)])
    assert metrics.best == (1, 10.0, 1100, None, 1.0)
    assert "best loss 1 in round 1" in repr(metrics)
    assert metrics.time_to(0.0) is None


def test_what_an_accuracy_took() -> None:
    metrics = FLMetrics(ROWS)
    assert (metrics.rounds_to(0.3), metrics.time_to(0.3), metrics.bytes_to(0.3)) == (1, 10.0, 1100)
    assert (metrics.rounds_to(0.31), metrics.time_to(0.75), metrics.bytes_to(0.8)) == (3, 30.0, 3300)
    assert (metrics.rounds_to(0.81), metrics.time_to(0.81), metrics.bytes_to(0.81)) == (None, None, None)


def test_of_what_was_never_tested_there_is_no_best() -> None:
    metrics = FLMetrics([row(0, None), row(1, None)], "untested")
    assert (metrics.best, metrics.final, metrics.first(0.0), metrics.evaluations) == (None, None, None, [])
    assert repr(metrics) == "<FLMetrics untested: 2 versions, not tested>"
    with pytest.raises(RunError, match="untested: no convergence: nothing was trained or tested"):
        metrics.plot_convergence()


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1))
def test_an_accuracy_is_reached_where_it_first_is(accuracies: list[float | None], target: float) -> None:
    metrics = FLMetrics([row(version, accuracy) for version, accuracy in enumerate(accuracies)])
    reached = [version for version, value in enumerate(accuracies) if value is not None and value >= target]
    assert metrics.rounds_to(target) == (reached[0] if reached else None)
    if (best := metrics.best) is not None:
        assert best.accuracy == np.nanmax(metrics.accuracy)
        assert metrics.rounds_to(best.accuracy) == best.round


def test_a_frame_has_all_of_the_file() -> None:
    frame = FLMetrics([each | {"attack_success": None} for each in ROWS]).to_frame()
    assert list(frame["version"]) == [0, 1, 2, 3, 4, 5]
    assert "metadata" not in frame
    np.testing.assert_array_equal(
        frame["metadata.converged_share"], [math.nan, 0.0, 0.5, 1.0, math.nan, math.nan]
    )
    assert frame["metadata.losses"][1] == [2.0, 1.5]
    assert frame["attack_success"].dtype == frame["accuracy"].dtype == np.float64


@pytest.mark.parametrize("over", ["time", "rounds", "bytes"])
def test_convergence_is_drawn_over_an_axis(over: Any) -> None:
    figure = FLMetrics(ROWS).plot_convergence(over=over)
    accuracy, loss = figure.axes
    x = {"time": [10.0, 30.0, 40.0, 50.0], "rounds": [1, 3, 4, 5], "bytes": [1.1, 3.3, 4.4, 5.5]}[over]
    for axes, values, best in ((accuracy, [0.3, 0.8, 0.8, 0.7], 1), (loss, [2.0, 0.5, 0.4, 0.6], 2)):
        curve, circle = axes.get_lines()
        np.testing.assert_allclose(curve.get_xydata(), np.column_stack([x, values]))
        np.testing.assert_allclose(circle.get_xydata(), [[x[best], values[best]]])
    labels = {"time": "virtual time (s)", "rounds": "version", "bytes": "traffic, both ways (kB)"}
    assert (accuracy.get_xlabel(), loss.get_xlabel()) == ("", labels[over])
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("accuracy (share)", "loss (mean)")


def test_only_what_is_finite_is_drawn(tmp_path: Path) -> None:
    metrics = FLMetrics([row(0, 0.1, math.inf), row(1, 0.2, None)])
    path = tmp_path / "convergence.svg"
    (axes,) = metrics.plot_convergence(save_to=str(path)).axes
    assert axes.get_ylabel() == "accuracy (share)"
    assert path.read_text().lstrip().startswith("<?xml")


def test_over_anything_else_is_refused() -> None:
    with pytest.raises(RunError, match="over: 'epochs' is not one of time, rounds, bytes"):
        FLMetrics(ROWS).plot_convergence(over="epochs")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; is .* the folder of a run"),
        ("{", "not the metrics of a run"),
        ("[]", "not the metrics of a run"),
        ('{"versions": [{"version": 0}]}', "its versions lack what those of a run have"),
    ],
)
def test_what_is_no_metrics_file_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(RunError, match=message):
        FLMetrics.load(tmp_path)
