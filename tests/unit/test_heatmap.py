"""A sweep's table to a matrix of means, and to a picture."""

import csv
from pathlib import Path

import pytest
from matplotlib.image import imread

from flsim.errors import ScenarioError
from flsim.observe.heatmap import labels, matrix_of, write_heatmap
from flsim.sweeping import grid_of, heatmap_keys

FLIP, ALIE = '{"kind": "sign_flip"}', '{"kind": "alie", "z": 1.5}'


def row(attack: str, rule: str, seed: int, accuracy: str) -> dict[str, str]:
    return {"attack": attack, "rule": rule, "seed": str(seed), "final_accuracy": accuracy}


TABLE = [
    row("", "mean", 1, "0.9"),
    row("", "mean", 2, "0.7"),
    row("", "median", 1, "0.5"),
    row("", "median", 2, ""),
    row(FLIP, "mean", 1, "0.1"),
    row(FLIP, "mean", 2, "0.2"),
    row(FLIP, "median", 1, ""),
    row(FLIP, "median", 2, ""),
]


def test_runs_that_differ_in_further_keys_are_averaged_and_failed_ones_are_left_out() -> None:
    matrix = matrix_of(TABLE, "attack", "rule")
    assert matrix.rows == ("none", "sign_flip")
    assert matrix.columns == ("mean", "median")
    assert matrix.cells[0] == pytest.approx((0.8, 0.5))
    assert matrix.cells[1][0] == pytest.approx(0.15)
    assert matrix.cells[1][1] is None
    assert matrix.runs == 2


def test_any_two_keys_and_any_number_can_be_shown() -> None:
    across = matrix_of(TABLE, "rule", "attack")
    turned = matrix_of(TABLE, "attack", "rule")
    assert across.cells == tuple(zip(*turned.cells, strict=True))
    seeds = matrix_of([*TABLE, row("", "mean", 3, "1.0")], "seed", "rule", measure="seed")
    assert seeds.rows == ("1", "2", "3")
    assert seeds.cells == ((1.0, 1.0), (2.0, 2.0), (3.0, None))


def test_a_component_goes_by_its_kind_unless_that_stands_there_twice() -> None:
    nested = '{"kind": "filter", "then": {"kind": "krum", "f": 2}}'
    plain = '{"kind": "filter"}'
    assert labels([FLIP, ALIE, nested]) == ("sign_flip", "alie", "filter")
    assert labels([nested, plain]) == ("filter, then krum, f 2", "filter")
    assert labels(["", "6 Mbit/s", "0.1", "[1, 2]", "true"]) == (
        "none",
        "6 Mbit/s",
        "0.1",
        "[1, 2]",
        "true",
    )


def write(path: Path, table: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


def test_the_picture_is_drawn_from_the_table_alone_and_grows_with_it(tmp_path: Path) -> None:
    table = write(tmp_path / "sweep.csv", TABLE)
    picture = write_heatmap(table, "attack", "rule")
    assert picture == tmp_path / "heatmap.png"
    small = imread(picture)
    assert small.std() > 0.05
    many = [row(FLIP, f"rule_{number}", 1, str(number / 20)) for number in range(20)]
    assert write_heatmap(write(table, many), "attack", "rule") == picture
    assert imread(picture).shape[1] > 2 * small.shape[1]


def test_nothing_is_drawn_where_nothing_was_tested(tmp_path: Path) -> None:
    table = write(tmp_path / "sweep.csv", [row("", "mean", 1, "")])
    assert write_heatmap(table, "attack", "rule") is None
    assert list(tmp_path.iterdir()) == [table]


@pytest.mark.parametrize(
    "asked", ["seed", "seed,seed", "seed,attack", "seed,strategy.cohort,seed", "", ","]
)
def test_a_heat_map_needs_two_keys_that_are_varied(asked: str) -> None:
    varied = [grid_of(["seed=1,2", "strategy.cohort=5,10"])]
    assert heatmap_keys("strategy.cohort,seed", varied) == ("strategy.cohort", "seed")
    with pytest.raises(ScenarioError, match=r"varied here: seed, strategy\.cohort"):
        heatmap_keys(asked, varied)
