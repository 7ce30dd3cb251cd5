"""Every selection but the uniform one: its law, worked out by hand or by enumeration."""

import math
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.policy.selection import Selection
from flsim.policy.selections import (
    FixedSelection,
    OortSelection,
    PoissonSelection,
    PowerOfChoiceSelection,
    ReflSelection,
    RoundRobinSelection,
    TiflSelection,
    UniformSelection,
    WeightedSelection,
)
from flsim.policy.selections.tifl_adaptive import Adaptive
from flsim.scenario import scenario_from
from tests.known import DRAWS, assert_law, choose, facts, successive
from tests.memory import timing

NAN = math.nan

# All of them


def test_draws_are_those_of_the_number_of_the_selection_and_of_the_client() -> None:
    """In column c of selection k they are (8 k + c, client): records of old scenarios stay what they were.

    Drawn in proportion to weights is whoever has the least -log(u) / w.
    """
    numbers = [1, 5, 2, 9]
    seen = {"samples": numbers, "aggregated": [1] * 4, "last_selection": [1] * 4}
    for k in range(1, 30):
        uniforms = [[DRAWS.uniform(8 * k + column, client) for client in range(4)] for column in range(3)]

        def order(column: int, weights: Any, uniforms: Any = uniforms) -> tuple[int, ...]:
            keys = [-math.log(u) / w for u, w in zip(uniforms[column], weights, strict=True)]
            return tuple(sorted(range(4), key=keys.__getitem__))

        def drawn(selection: Selection, k: int = k, **columns: Any) -> Any:
            return choose(selection, range(4), 4, facts(4, **columns), k)

        assert drawn(WeightedSelection(), samples=numbers) == order(0, numbers)
        assert drawn(OortSelection(), speeds_flops=numbers) == order(2, numbers)
        useful = [number / 9 + math.sqrt(0.1 * math.log(k)) for number in numbers]
        assert drawn(OortSelection(exploration=0, exploration_floor=0, cut_off=0), **seen) == order(
            1, useful
        )
        ties = [tuple(sorted(range(4), key=column.__getitem__)) for column in uniforms]
        assert drawn(ReflSelection()) == ties[0]
        assert drawn(PowerOfChoiceSelection(candidates=4)) == ties[1]
        half = facts(2, aggregated=[0, 1], last_selection=[0, 1])
        one = OortSelection(exploration=0.25, decay=1.0)
        assert choose(one, range(2), 1, half, k) == (0 if uniforms[0][0] >= 0.75 else 1,)


ALL: list[Selection] = [
    UniformSelection(),
    WeightedSelection(),
    RoundRobinSelection(),
    FixedSelection(lists=((0,),)),
    PoissonSelection(q=0.5),
    PowerOfChoiceSelection(),
    OortSelection(),
    TiflSelection(),
    ReflSelection(),
]


@pytest.mark.parametrize("selection", ALL, ids=lambda selection: selection.kind)
def test_only_poisson_samples_that_are_not_repeated_are_rounds_whatever_their_size(
    selection: Selection,
) -> None:
    assert selection.draws_rounds is False
    assert PoissonSelection(q=0.5, redraw=False).draws_rounds is True


@pytest.mark.parametrize("selection", ALL, ids=lambda selection: selection.kind)
def test_nobody_asks_for_the_clients_tests_without_going_by_them(selection: Selection) -> None:
    assert selection.needs_client_tests is False
    assert TiflSelection(adaptive=Adaptive()).needs_client_tests is True


# Weighted


@pytest.mark.parametrize("count", [1, 2, 4])
def test_weighted_draws_one_after_the_other_in_proportion_to_samples(count: int) -> None:
    known = facts(6, samples=[1, 2, 9, 3, 9, 4])
    law = successive({0: 1, 1: 2, 3: 3, 5: 4}, count)
    selection = WeightedSelection()
    assert_law(lambda decision: choose(selection, [5, 0, 3, 1], count, known, decision), law)


def test_clients_without_samples_come_last_and_all_as_likely() -> None:
    known = facts(4, samples=[0, 5, 0, 0])
    law = {(1, other): 1 / 3 for other in (0, 2, 3)}
    assert_law(lambda decision: choose(WeightedSelection(), range(4), 2, known, decision), law, 5000)


def test_who_else_is_idle_does_not_change_the_order_of_two_clients() -> None:
    known = facts(50, samples=range(1, 51))
    for decision in range(50):
        everybody = choose(WeightedSelection(), range(50), 50, known, decision)
        half = choose(WeightedSelection(), range(0, 50, 2), 25, known, decision)
        assert [client for client in everybody if client % 2 == 0] == list(half)


# Round robin


@pytest.mark.parametrize(
    ("last", "idle", "count", "expected"),
    [
        (-1, [3, 1, 0, 2], 2, (0, 1)),
        (1, [3, 1, 0, 2], 2, (2, 3)),
        (2, [3, 1, 0, 2], 3, (3, 0, 1)),
        (3, [3, 1, 0, 2], 1, (0,)),
        (1, [0, 1, 5], 2, (5, 0)),  # whoever is not idle is passed over
        (1, [0, 1, 5], 9, (5, 0, 1)),
        (4, [], 2, ()),
    ],
)
def test_round_robin_goes_on_after_the_last(
    last: int, idle: list[int], count: int, expected: tuple[int, ...]
) -> None:
    assert choose(RoundRobinSelection(), idle, count, facts(6, last_client=last)) == expected


# Fixed lists

LISTS = FixedSelection(lists=((4, 0), (1,), (2, 3, 5)))


def test_fixed_takes_its_lists_in_turn() -> None:
    drawn = [choose(LISTS, range(6), 9, facts(6), decision) for decision in range(1, 8)]
    assert drawn == [(4, 0), (1,), (2, 3, 5), (4, 0), (1,), (2, 3, 5), (4, 0)]


def test_fixed_leaves_out_who_is_not_idle_and_passes_over_a_list_of_nobody() -> None:
    assert choose(LISTS, [0, 5], 9, facts(6), 1) == (0,)
    assert choose(LISTS, [0, 5], 9, facts(6), 2) == (5,)
    assert choose(LISTS, [0, 5], 9, facts(6), 3) == (5,)
    assert choose(FixedSelection(lists=((4,), (3,))), [0, 5], 9, facts(6), 1) == ()


def test_fixed_asks_no_more_than_the_strategy_wants() -> None:
    assert choose(LISTS, range(6), 2, facts(6), 3) == (2, 3)


def scenario(selection: dict[str, Any], strategy: dict[str, Any] | None = None) -> Any:
    strategy = strategy or {"kind": "sync", "cohort": 3}
    return scenario_from(timing(6, 1.0, strategy, {"updates": 3}, selection=selection))


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[0, 6]], "no such client: the fleet has the clients 0 to 5"),
        ([[0, 1, 0]], "names a client twice"),
        ([[]], "at least 1 item"),
        ([], "names nobody"),
        ([[-1]], "greater than or equal to 0"),
        ([0], "must be a list"),
    ],
)
def test_lists_that_cannot_be(lists: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario({"kind": "fixed", "lists": lists})


def test_what_is_no_list_at_all_is_told_as_it_was_given() -> None:
    with pytest.raises(ValidationError, match=r"valid tuple.*input_value=5"):
        FixedSelection.model_validate({"kind": "fixed", "lists": 5})
    with pytest.raises(ScenarioError, match=r"must be a list \(given: 5\)"):
        scenario({"kind": "fixed", "lists": 5})


# Poisson


def test_poisson_draws_every_client_independently() -> None:
    """Of 3 clients, each of the 7 non-empty sets has its binomial probability, given that it is one."""
    q, nobody = 0.4, 0.6**3
    law = {
        chosen: q**size * (1 - q) ** (3 - size) / (1 - nobody)
        for size in (1, 2, 3)
        for chosen in combinations((1, 4, 5), size)
    }
    assert_law(lambda decision: choose(PoissonSelection(q=q), [5, 1, 4], 1, facts(6), decision), law)


def test_poisson_draws_everybody_with_certainty_and_nobody_of_none() -> None:
    assert choose(PoissonSelection(q=1.0), [2, 0, 1], 1, facts(3)) == (0, 1, 2)
    assert choose(PoissonSelection(q=0.5), [], 1, facts(3)) == ()


def test_a_rare_draw_is_repeated_until_somebody_is_drawn() -> None:
    assert all(choose(PoissonSelection(q=1e-3), [0, 1], 2, facts(2), decision) for decision in range(20))


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"kind": "fedasync", "concurrency": 2}, "needs sync with cohort: all"),
        ({"kind": "fedbuff", "concurrency": 2, "buffer_size": 1}, "needs sync with cohort: all"),
        ({"kind": "sync", "cohort": 3}, "says itself how many clients a round asks; accepted: all"),
    ],
)
def test_poisson_is_for_rounds_of_any_size(strategy: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario({"kind": "poisson", "q": 0.5}, strategy)
    scenario({"kind": "poisson", "q": 0.5}, {"kind": "sync", "cohort": "all"})


@pytest.mark.parametrize("selection", [{"kind": "poisson", "q": 0.5}, {"kind": "round_robin"}], ids=str)
def test_selections_that_do_not_go_by_tiers(selection: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=rf"strategy\.kind.*{selection['kind']}"):
        scenario(selection, {"kind": "fedat"})
    scenario(selection, {"kind": "sync", "cohort": "all"})


def test_a_draw_of_nobody_is_one_where_it_is_not_repeated() -> None:
    """The number of clients is binomial: of 3, all 8 sets."""
    q = 0.4
    law = {
        chosen: q**size * (1 - q) ** (3 - size)
        for size in (0, 1, 2, 3)
        for chosen in combinations((1, 4, 5), size)
    }
    selection = PoissonSelection(q=q, redraw=False)
    assert_law(lambda decision: choose(selection, [5, 1, 4], 1, facts(6), decision), law, 5000)


@pytest.mark.parametrize("of_eight", range(1, 9))
def test_the_probability_of_a_draw_is_exact(of_eight: int) -> None:
    """Of eight clients that draw the eight multiples of 1/8 in [0, 1), as many are drawn as q x 8."""

    class Evenly(Stream):
        def generator(self, first: int = 0, second: int = 0) -> Any:
            return SimpleNamespace(random=lambda size: np.arange(size) / size)

    drawn = PoissonSelection(q=of_eight / 8).select(range(8), 8, Evenly(1, "selection"), 1, facts(8))
    assert drawn == tuple(range(of_eight))


# Power of choice


def test_power_of_choice_takes_the_largest_loss_of_its_candidates() -> None:
    """Enumerated over the ordered draws of 2 candidates among 4, in proportion to their samples."""
    known = facts(4, samples=[1, 2, 3, 4], losses=[0.5, 2.0, 1.0, 0.1])
    law = {(client,): 0.0 for client in range(4)}
    for pair, probability in successive({0: 1, 1: 2, 2: 3, 3: 4}, 2).items():
        law[(max(pair, key=lambda client: known.history.losses[client]),)] += probability
    assert law[(3,)] == 0
    selection = PowerOfChoiceSelection(candidates=2)
    assert_law(lambda decision: choose(selection, range(4), 1, known, decision), law)


def test_a_client_whose_loss_is_not_known_comes_first_and_chance_decides_between_two() -> None:
    known = facts(5, losses=[9.0, NAN, 1.0, NAN, 5.0])
    law = {(1, 3, 0): 0.5, (3, 1, 0): 0.5}
    selection = PowerOfChoiceSelection(candidates=5)
    assert_law(lambda decision: choose(selection, range(5), 3, known, decision), law, 5000)


def test_power_of_choice_draws_as_many_candidates_as_are_asked() -> None:
    known = facts(5, losses=[1.0, 2.0, 3.0, 4.0, 5.0])
    assert len(choose(PowerOfChoiceSelection(candidates=2), range(5), 4, known)) == 4


def test_chance_between_equal_losses_is_another_than_that_of_the_candidates() -> None:
    """If one draw served both, the client that is drawn first would always win the tie."""
    known = facts(2, losses=[1.0, 1.0])
    pairs = {
        (choose(WeightedSelection(), range(2), 1, known, d), choose(
            PowerOfChoiceSelection(candidates=2), range(2), 1, known, d
        ))
        for d in range(50)
    }  # fmt: skip
    assert len(pairs) == 4


# TiFL


def test_tiers_divide_the_measured_clients_by_duration() -> None:
    known = facts(8, durations_s=[5.0, 1.0, NAN, 3.0, 2.0, 9.0, 7.0, NAN])
    tiers = TiflSelection(tiers=3).tier_of(known.history)
    assert tiers.tolist() == [1, 0, 2, 1, 0, 2, 2, 2]  # sorted: 1 4 | 3 0 | 6 5, as 6 x 3 // 6 says
    few = TiflSelection(tiers=5).tier_of(facts(3, durations_s=[2.0, NAN, 1.0]).history)
    assert few.tolist() == [2, 4, 0]
    assert TiflSelection().tier_of(facts(2).history).tolist() == [4, 4]


@pytest.mark.parametrize(
    ("probabilities", "fast"),
    [(None, 0.5), ((0.8, 0.2), 0.8), ((1.0, 0.0), 1.0), ((0.0, 1.0), 0.0)],
)
def test_a_tier_is_drawn_and_then_its_clients_are_equally_likely(
    probabilities: tuple[float, ...] | None, fast: float
) -> None:
    known = facts(4, durations_s=[9.0, 1.0, 8.0, 2.0], tasks=[1] * 4)
    selection = TiflSelection(tiers=2, probabilities=probabilities)
    law = {(1,): fast / 2, (3,): fast / 2, (0,): (1 - fast) / 2, (2,): (1 - fast) / 2}
    assert_law(lambda decision: choose(selection, range(4), 1, known, decision), law)


@pytest.mark.parametrize("probabilities", [(0.2, 0.3, 0.5), (0.0, 1.0, 0.0)])
def test_each_of_three_tiers_has_its_probability(probabilities: tuple[float, ...]) -> None:
    known = facts(3, durations_s=[3.0, 1.0, 2.0], tasks=[1] * 3)
    selection = TiflSelection(tiers=3, probabilities=probabilities)
    law = {(1,): probabilities[0], (2,): probabilities[1], (0,): probabilities[2]}
    assert_law(lambda decision: choose(selection, range(3), 1, known, decision), law, 5000)


def test_what_a_tier_lacks_comes_from_another() -> None:
    known = facts(4, durations_s=[9.0, 1.0, 8.0, 2.0], tasks=[1] * 4)
    selection = TiflSelection(tiers=2, probabilities=(1.0, 0.0))
    for decision in range(50):
        chosen = choose(selection, [0, 1, 2, 3], 3, known, decision)
        assert set(chosen[:2]) == {1, 3}
        assert chosen[2] in (0, 2)
        assert choose(selection, [0, 1, 2], 1, known, decision) == (1,)  # of whom in the tier is idle


def test_unmeasured_clients_are_profiled_first_but_not_for_ever() -> None:
    known = facts(5, durations_s=[1.0, NAN, 2.0, NAN, NAN], tasks=[1, 0, 1, 2, 3])
    selection = TiflSelection(tiers=2, probabilities=(1.0, 0.0), profiles=3)
    for decision in range(50):
        chosen = choose(selection, range(5), 4, known, decision)
        assert set(chosen[:2]) == {1, 3}  # client 4 had its 3 profiles, and is in the slowest tier
        assert chosen[2] == 0
        assert chosen[3] in (2, 4)
    first = {choose(selection, range(5), 1, known, decision) for decision in range(50)}
    assert first == {(1,), (3,)}


@pytest.mark.parametrize("probabilities", [(0.5, 0.5), (0.5, 0.2, 0.2), (0.5, 0.6, -0.1)])
def test_probabilities_that_cannot_be(probabilities: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        TiflSelection(tiers=3, probabilities=probabilities)


# REFL


def test_who_was_seldom_there_comes_first() -> None:
    known = facts(4, sightings=[9, 2, 5, 3])
    assert choose(ReflSelection(), [0, 1, 2, 3], 3, known, 10) == (1, 3, 2)
    assert choose(ReflSelection(), [0, 2], 1, known, 10) == (2,)


def test_chance_decides_between_those_who_were_there_equally_often() -> None:
    known = facts(4, sightings=[3, 1, 3, 3])
    law = {(1, other): 1 / 3 for other in (0, 2, 3)}
    assert_law(lambda decision: choose(ReflSelection(), range(4), 2, known, decision), law, 5000)


def test_who_was_asked_of_late_comes_after_all_others() -> None:
    known = facts(4, sightings=[1, 2, 3, 4], last_selection=[8, 7, 0, 6])
    assert choose(ReflSelection(hold_off=2), range(4), 4, known, 10) == (1, 2, 3, 0)
    assert choose(ReflSelection(hold_off=3), range(4), 4, known, 10) == (2, 3, 0, 1)
    assert choose(ReflSelection(hold_off=0), range(4), 4, known, 10) == (0, 1, 2, 3)
    nobody_yet = facts(4, sightings=[1, 2, 3, 4])
    assert choose(ReflSelection(hold_off=5), range(4), 4, nobody_yet, 1) == (0, 1, 2, 3)
    for number in (1, 2):  # of the selection that asked client 1; client 0 was never asked
        early = facts(2, sightings=[3, 1], last_selection=[0, number])
        assert choose(ReflSelection(hold_off=5), range(2), 2, early, 3) == (0, 1)


# Oort

HISTORY: dict[str, Any] = {
    "samples": [10, 20, 30, 40, 50],
    "losses": [
        2.0,
        1.5,
        NAN,
        0.5,
        1.0,
    ],  # useful: 20, 30, 30 (a loss that is not known counts as 1), 20, 50
    "durations_s": [10.0, 20.0, 30.0, 40.0, 80.0],
    "aggregated": [1, 2, 1, 3, 1],
    "last_selection": [1, 2, 4, 5, 8],
}


def test_the_utility_worked_by_hand() -> None:
    """R = 9; T is the quantile 0.5 of 10, 20, 30, 40, 80, which is 30; no clipping; penalty 2."""
    selection = OortSelection(pace=0.5, clip=1.0)
    known = facts(5, **HISTORY)
    assert selection.preferred_s(known.history) == 30.0
    expected = [
        20 / 50 + math.sqrt(0.1 * math.log(9) / 1),
        30 / 50 + math.sqrt(0.1 * math.log(9) / 2),
        30 / 50 + math.sqrt(0.1 * math.log(9) / 4),
        (20 / 50 + math.sqrt(0.1 * math.log(9) / 5)) * (30 / 40) ** 2,
        (50 / 50 + math.sqrt(0.1 * math.log(9) / 8)) * (30 / 80) ** 2,
    ]
    assert selection.utilities(np.arange(5), 9, known).tolist() == pytest.approx(expected, rel=1e-14)
    assert expected[4] == pytest.approx(0.1639, abs=1e-4)  # the most useful client is the slowest


def test_the_largest_utility_is_one_however_small_the_losses() -> None:
    """Useful 20, 30, 30, 20, 50, divided by ten thousand: at R = 1 there is no bonus."""
    losses = [2e-4, 1.5e-4, 1e-4, 0.5e-4, 1e-4]
    utilities = OortSelection(clip=1.0, penalty=0.0).utilities(
        np.arange(5), 1, facts(5, **HISTORY | {"losses": losses})
    )
    assert utilities.tolist() == pytest.approx([0.4, 0.6, 0.6, 0.4, 1.0], rel=1e-14)


def test_tasks_that_take_no_time_are_not_slow() -> None:
    """T is 0: whoever takes any time at all is infinitely slower."""
    known = facts(3, **{key: HISTORY[key][:3] for key in HISTORY} | {"durations_s": [0.0, 0.0, 5.0]})
    utilities = OortSelection(pace=0.0, clip=1.0).utilities(np.arange(3), 1, known)
    assert utilities.tolist() == pytest.approx([20 / 30, 1.0, 0.0])


def test_utilities_are_clipped_at_a_quantile() -> None:
    """Useful 20, 30, 30, 20, 50: the value at 0.6 of five is the fourth, 30, which is then the largest."""
    selection = OortSelection(clip=0.6, penalty=0.0)
    utilities = selection.utilities(np.arange(5), 1, facts(5, **HISTORY))  # R = 1: no bonus
    assert utilities.tolist() == pytest.approx([20 / 30, 1, 1, 20 / 30, 1])


def test_the_pacer_relaxes_when_utility_falls() -> None:
    """Windows of 2 updates with utilities 5 + 5, 4 + 5 (less), 6 + 6, 6 + 6 (equal), 1 + 1 (less), 9."""
    sums = np.cumsum([0, 5, 5, 4, 5, 6, 6, 6, 6, 1, 1, 9]).tolist()
    selection = OortSelection(window=2, pace=0.3, pace_step=0.2)
    paces = [selection.pace_after(sums[:length]) for length in range(1, len(sums) + 1)]
    assert paces == pytest.approx([0.3] * 4 + [0.5] * 6 + [0.7] * 2)
    assert OortSelection(window=2, pace=0.9, pace_step=0.2).pace_after(sums) == 1.0


def test_the_first_window_is_compared_with_nothing() -> None:
    """Also where utilities are negative, as losses are that are minus the logarithm of a density."""
    assert OortSelection(window=2, pace=0.3).pace_after([0.0, -5.0, -9.0]) == 0.3
    assert OortSelection(window=2, pace=0.3).pace_after([0.0, -5.0, -9.0, -20.0, -30.0]) == 0.4


def test_nothing_is_slow_before_anything_was_measured() -> None:
    assert OortSelection().preferred_s(facts(3).history) == math.inf


def test_the_relaxed_pacer_spares_slower_clients() -> None:
    strict = OortSelection(window=1, pace=0.0, pace_step=1.0)
    falling = facts(5, **HISTORY, utility_sums=(0.0, 5.0, 6.0))
    rising = facts(5, **HISTORY, utility_sums=(0.0, 5.0, 15.0))
    assert strict.preferred_s(rising.history) == 10.0
    assert strict.preferred_s(falling.history) == 80.0


def test_exploitation_draws_by_utility_among_those_close_to_a_place() -> None:
    """One place, R = 1 (so no bonus), nobody slow: utilities .4 .6 .6 .4 1; those from 0.5 x 1 on."""
    selection = OortSelection(exploration=0.0, exploration_floor=0.0, penalty=0.0, clip=1.0, cut_off=0.5)
    known = facts(5, **HISTORY)
    law = {1: 0.6 / 2.2, 2: 0.6 / 2.2, 4: 1 / 2.2}
    assert_law(lambda seed: selection.select(range(5), 1, Stream(seed, "selection"), 1, known)[0], law)


@pytest.mark.parametrize(
    ("places", "cut_off", "close"),
    [
        (1, 1.0, {4}),
        (3, 1.0, {1, 2, 4}),  # the last place is worth 0.6
        (2, 0.7, {1, 2, 4}),
        (3, 0.6, {0, 1, 2, 3, 4}),
    ],
)
def test_how_close_to_a_place_one_has_to_come(places: int, cut_off: float, close: set[int]) -> None:
    """Utilities .4 .6 .6 .4 1, as above: those with `cut_off` times that of the last place, or more."""
    selection = OortSelection(
        exploration=0.0, exploration_floor=0.0, penalty=0.0, clip=1.0, cut_off=cut_off
    )
    known = facts(5, **HISTORY)
    draws = [selection.select(range(5), places, Stream(seed, "selection"), 1, known) for seed in range(99)]
    assert {len(drawn) for drawn in draws} == {places}
    assert {client for drawn in draws for client in drawn} == close


def test_new_clients_are_explored_by_speed() -> None:
    """All are new; the client whose speed is not known counts as the mean of the others, 4."""
    known = facts(4, speeds_flops=[1.0, 8.0, NAN, 3.0])
    law = successive({0: 1, 1: 8, 2: 4, 3: 3}, 2)
    assert_law(lambda decision: choose(OortSelection(), range(4), 2, known, decision), law)


@pytest.mark.parametrize("how", ["uniform", "speed"])
def test_new_clients_are_explored_uniformly_where_it_is_asked_or_nothing_is_known(how: str) -> None:
    speeds = [1.0, 8.0, 9.0] if how == "uniform" else [NAN] * 3
    known = facts(3, speeds_flops=speeds)
    selection = OortSelection.model_validate({"kind": "oort", "explore_by": how})
    law = {(client,): 1 / 3 for client in range(3)}
    assert_law(lambda decision: choose(selection, range(3), 1, known, decision), law)


def test_the_share_of_new_clients_decays_to_its_floor() -> None:
    selection = OortSelection(exploration=0.8, decay=0.5, exploration_floor=0.3)
    assert [selection.share_of_new(number) for number in (1, 2, 3, 4)] == [0.8, 0.4, 0.3, 0.3]


@pytest.mark.parametrize(("count", "share"), [(1, 0.25), (3, 0.25), (4, 0.5), (5, 0.9)])
def test_the_number_of_new_clients_has_its_share_as_its_mean(count: int, share: float) -> None:
    """It is floor or ceiling of count x share, the latter with the probability of the fraction."""
    known = facts(20, aggregated=[1] * 10 + [0] * 10, last_selection=[1] * 10 + [0] * 10)
    selection = OortSelection(exploration=share, exploration_floor=share, decay=1.0)
    low, fraction = divmod(count * share, 1)
    law = {int(low): 1 - fraction, int(low) + 1: fraction}

    def new_ones(decision: int) -> int:
        chosen = choose(selection, range(20), count, known, decision)
        assert len(chosen) == count
        return sum(client >= 10 for client in chosen)

    assert_law(new_ones, law, 5000)


def test_places_that_one_side_cannot_fill_go_to_the_other() -> None:
    seen = {"aggregated": [1, 1, 1, 0, 0], "last_selection": [1, 1, 1, 0, 0]}
    all_new = OortSelection(exploration=1.0, exploration_floor=1.0)
    all_seen = OortSelection(exploration=0.0, exploration_floor=0.0)
    for decision in range(1, 20):
        assert {3, 4} < set(choose(all_new, range(5), 3, facts(5, **seen), decision))
        assert {0, 1, 2} < set(choose(all_seen, range(5), 4, facts(5, **seen), decision))


def test_whoever_took_part_too_often_is_asked_last() -> None:
    known = facts(4, aggregated=[3, 2, 4, 0], last_selection=[1, 2, 3, 0])
    selection = OortSelection(blacklist_after=2)
    for decision in range(4, 50):
        assert set(choose(selection, range(4), 2, known, decision)) == {1, 3}
        assert {1, 3} < set(choose(selection, range(4), 3, known, decision))
        assert set(choose(selection, range(4), 4, known, decision)) == {0, 1, 2, 3}
    free = OortSelection(blacklist_after=None, cut_off=0.0)
    assert {0, 2} & {client for d in range(4, 50) for client in choose(free, range(4), 2, known, d)}


def test_useless_clients_are_still_asked() -> None:
    known = facts(3, samples=[0, 0, 0], aggregated=[1, 1, 1], last_selection=[1, 1, 1])
    assert sorted(choose(OortSelection(), range(3), 3, known)) == [0, 1, 2]
