"""Selection among the idle clients."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import cast, overload

import pytest

from flsim.draws import Stream
from flsim.policy.known import Known
from flsim.policy.selections import UniformSelection

DRAWS = Stream(7, "selection")
SELECTION = UniformSelection()
UNASKED = cast(Known, None)  # what is known of the clients, which nobody may look at


class Counted(Sequence[int]):
    """A million idle clients that count how often anyone looks."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.accesses = 0

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        assert isinstance(index, int)
        assert 0 <= index < self.size
        self.accesses += 1
        return index

    def __iter__(self) -> None:  # type: ignore[override]
        raise AssertionError("a selection must not walk over the idle clients")


@pytest.mark.parametrize("count", [0, 1, 2, 5, 19, 20])
def test_the_chosen_are_distinct_and_idle(count: int) -> None:
    idle = range(1000, 1020)
    for decision in range(200):
        chosen = SELECTION.select(idle, count, DRAWS, decision, UNASKED)
        assert len(chosen) == len(set(chosen)) == count
        assert set(chosen) <= set(idle)


@pytest.mark.parametrize(("size", "count"), [(0, 3), (4, 4), (4, 9)])
def test_all_are_returned_when_there_are_no_more(size: int, count: int) -> None:
    assert sorted(SELECTION.select(range(size), count, DRAWS, 0, UNASKED)) == list(range(size))


def test_the_same_decision_draws_the_same_and_another_draws_anew() -> None:
    idle = range(1000)
    assert SELECTION.select(idle, 10, DRAWS, 3, UNASKED) == SELECTION.select(
        idle, 10, Stream(7, "selection"), 3, UNASKED
    )
    assert SELECTION.select(idle, 10, DRAWS, 3, UNASKED) != SELECTION.select(idle, 10, DRAWS, 4, UNASKED)
    assert SELECTION.select(idle, 10, DRAWS, 3, UNASKED) != SELECTION.select(
        idle, 10, Stream(8, "selection"), 3, UNASKED
    )


def test_whoever_is_drawn_first_is_so_however_many_are_drawn() -> None:
    for decision in range(50):
        everybody = SELECTION.select(range(30), 30, DRAWS, decision, UNASKED)
        for count in (1, 2, 3, 29):
            assert SELECTION.select(range(30), count, DRAWS, decision, UNASKED) == everybody[:count]


def test_every_idle_client_is_as_likely_as_any_other() -> None:
    """Counts are binomial(decisions, count / size): each within 5 deviations (p < 1e-6 a client)."""
    size, count, decisions = 20, 6, 20_000
    tally = Counter(
        client
        for decision in range(decisions)
        for client in SELECTION.select(range(size), count, DRAWS, decision, UNASKED)
    )
    share = count / size
    deviation = math.sqrt(decisions * share * (1 - share))
    assert len(tally) == size
    assert all(abs(times - decisions * share) < 5 * deviation for times in tally.values())


def test_every_ordered_choice_is_as_likely_as_any_other() -> None:
    """60 ordered choices of 3 among 5: chi-square with 59 degrees, within 5 deviations."""
    decisions = 30_000
    tally = Counter(
        SELECTION.select(range(5), 3, DRAWS, decision, UNASKED) for decision in range(decisions)
    )
    assert set(tally) == set(permutations(range(5), 3))
    expected = decisions / 60
    statistic = sum((times - expected) ** 2 / expected for times in tally.values())
    assert abs(statistic - 59) < 5 * math.sqrt(2 * 59)


def test_the_cost_does_not_depend_on_how_many_are_idle() -> None:
    small, large = Counted(100), Counted(10_000_000)
    SELECTION.select(small, 10, DRAWS, 0, UNASKED)
    SELECTION.select(large, 10, DRAWS, 0, UNASKED)
    assert small.accesses == large.accesses == 10
