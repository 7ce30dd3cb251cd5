"""TiFL's adaptive selection against Algorithm 2 of the paper, carried out from round to round."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsim.draws import Stream
from flsim.policy.known import ClientTests
from flsim.policy.selections import TiflSelection
from flsim.policy.selections.tifl_adaptive import Adaptive, by_rank, tier_accuracies
from flsim.records import ClientEvaluations, Outcome
from flsim.scenario.executor import Executor, Serial, Vmap
from flsim.sim.timing import NoLearner
from flsim.sim.world import simulate
from flsim.tasks import Anchor, Task, UpdateResult
from tests.known import choose, facts
from tests.memory import MemoryJournal, classes
from tests.noted import Noted
from tests.refused import refusal
from tests.tiny import Tiny, scenario_data, tiny


class Algorithm2:
    """The server's part of TiFL, with state: credits, probabilities, the tier in use, past accuracies."""

    def __init__(self, tiers: int, interval: int, credits: Sequence[int]) -> None:
        self.interval = interval
        self.credits = list(credits)
        self.probabilities = [1 / tiers] * tiers
        self.current: int | None = None
        self.accuracies: list[Sequence[float]] = []

    def begin(self, accuracies: Sequence[float]) -> list[float]:
        """Begin a round with the tiers' accuracies of its model; return how likely each tier is drawn."""
        self.accuracies.append(accuracies)
        number = len(self.accuracies) - 1
        if number % self.interval == 0 and number >= self.interval and self.current is not None:
            earlier = self.accuracies[number - self.interval]
            if accuracies[self.current] <= earlier[self.current]:
                self.change(accuracies)
        return [
            p if credit > 0 else 0.0 for p, credit in zip(self.probabilities, self.credits, strict=True)
        ]

    def change(self, accuracies: Sequence[float]) -> None:
        able = [tier for tier, credit in enumerate(self.credits) if credit > 0]
        able.sort(key=lambda tier: (accuracies[tier], tier))
        count = len(able)
        self.probabilities = [0.0] * len(self.credits)
        for place, tier in enumerate(able):
            self.probabilities[tier] = (count - place) / (count * (count + 1) / 2)

    def draw(self, tier: int) -> None:
        self.current = tier
        self.credits[tier] -= 1


def results_of(selections: int, tier_of: Sequence[int], accuracies: Sequence[float]) -> ClientTests:
    """Return tests in which every client has its tier's accuracy."""
    clients = np.arange(len(tier_of))
    accuracy = np.array([accuracies[tier] for tier in tier_of])
    return ClientTests(
        selections,
        ClientEvaluations(np.zeros_like(clients), clients, np.full(len(clients), 7), accuracy, accuracy),
    )


def proportions(weights: Any) -> Any:
    total = sum(weights)
    return [weight / total if total else 0.0 for weight in weights]


@given(
    st.integers(1, 4), st.integers(1, 5), st.lists(st.integers(1, 12), min_size=4, max_size=4), st.data()
)
def test_what_follows_from_the_past_is_what_the_algorithm_carries(
    tiers: int, every: int, credits: list[int], data: st.DataObject
) -> None:
    """Over rounds in which tiers with credits are drawn, and accuracies go up and down in few steps."""
    tier_of = [tier for tier in range(tiers) for _ in range(2)]
    spec, paper = (
        Adaptive(every=every, credits=tuple(credits[:tiers])),
        Algorithm2(tiers, every, credits[:tiers]),
    )
    tests: list[ClientTests] = []
    first: list[int] = []
    for number in range(30):
        accuracies = data.draw(st.lists(st.integers(0, 3).map(float), min_size=tiers, max_size=tiers))
        tests.append(results_of(number, tier_of, accuracies))
        known = facts(len(tier_of), first_clients=[*first, -1], client_tests=list(tests))
        ours = spec.weights(number + 1, np.ones(tiers), np.array(tier_of), known.history)
        expected = paper.begin(accuracies)
        assert proportions(ours.tolist()) == pytest.approx(proportions(expected), rel=1e-12)
        able = [tier for tier, credit in enumerate(paper.credits) if credit > 0]
        if not able:
            break
        tier = data.draw(st.sampled_from(able))
        paper.draw(tier)
        first.append(tier_of.index(tier) + data.draw(st.integers(0, 1)))


def test_ranks_by_hand() -> None:
    assert by_rank(np.array([0.7, 0.2, 0.4]), np.array([True] * 3)) == pytest.approx([1 / 6, 3 / 6, 2 / 6])
    assert by_rank(np.array([0.7, 0.2, 0.4]), np.array([True, False, True])) == pytest.approx(
        [1 / 3, 0, 2 / 3]
    )
    assert by_rank(np.array([0.4, 0.4]), np.array([True] * 2)) == pytest.approx([2 / 3, 1 / 3])
    assert by_rank(np.array([math.nan, 0.4]), np.array([True] * 2)) == pytest.approx([1 / 3, 2 / 3])
    assert by_rank(np.array([0.1, 0.4]), np.array([False, True])).tolist() == [0, 1]
    assert by_rank(np.array([0.1, 0.4]), np.array([False] * 2)).tolist() == [0, 0]


def test_a_tiers_accuracy_is_that_on_all_its_samples() -> None:
    results = ClientEvaluations(
        version=np.zeros(3, np.int64),
        client=np.array([0, 2, 3]),
        samples=np.array([10, 30, 5]),
        accuracy=np.array([0.5, 0.9, 0.2]),
        loss=np.zeros(3),
    )
    tests = [ClientTests(4, results)]
    tier_of = np.array([0, 0, 0, 1, 2])
    assert tier_accuracies(4, 3, tier_of, tests) == pytest.approx([0.8, 0.2, math.nan], nan_ok=True)
    assert np.isnan(tier_accuracies(3, 3, tier_of, tests)).all()


def test_a_single_test_sample_tells_a_tiers_accuracy() -> None:
    column = np.zeros(1)
    results = ClientEvaluations(
        np.zeros(1, np.int64), np.zeros(1, np.int64), column + 1, column + 1, column
    )
    assert tier_accuracies(0, 1, np.array([0]), [ClientTests(0, results)]).tolist() == [1.0]


def test_before_anybody_was_asked_no_tier_is_in_use_and_nothing_changes() -> None:
    """Three selections drew nobody; the model of then was as accurate as the first."""
    tier_of = np.array([0, 1])
    tests = [results_of(made, [0, 1], [0.9, 0.2]) for made in range(4)]
    known = facts(2, first_clients=[-1, -1, -1, -1], client_tests=tests)
    start = np.array([0.3, 0.7])
    assert Adaptive(every=2).weights(4, start, tier_of, known.history).tolist() == [0.3, 0.7]


def test_without_credits_a_tier_only_helps_out() -> None:
    """Of two tiers, each with one credit: the first one's is used up. Of none, all are as likely."""
    selection = TiflSelection(tiers=2, adaptive=Adaptive(every=5, credits=1))
    known = facts(6, first_clients=[1, -1])
    for decision in range(2, 40):
        drawn = choose(selection, range(6), 4, facts(6, first_clients=[1, *[-1] * 60]), decision)
        assert set(drawn[:3]) == {3, 4, 5}
        assert drawn[3] < 3
    assert choose(selection, range(3), 2, known, 2)[0] < 3
    used_up = [
        choose(selection, range(6), 1, facts(6, first_clients=[1, 4, *[-1] * 60]), d)[0]
        for d in range(3, 60)
    ]
    assert {client // 3 for client in used_up} == {0, 1}


def test_one_number_of_credits_for_each_tier() -> None:
    selection = TiflSelection(tiers=2, adaptive=Adaptive(credits=(1, 2)))
    known = facts(6, first_clients=[1, 4, *[-1] * 60])
    assert all(choose(selection, range(6), 1, known, decision)[0] >= 3 for decision in range(3, 60))


# In runs


def scenario(**sections: Any) -> dict[str, Any]:
    data = scenario_data(
        12,
        {"kind": "sync", "cohort": 3},
        selection={"kind": "tifl", "tiers": 3, "adaptive": {"every": 2, "credits": 12}},
        evaluation={"clients": {"every": 1}},
        stop={"updates": 30},
    )
    data["workload"]["data"]["client_test_share"] = 0.4
    data["workload"]["data"]["partition"] = {"kind": "dirichlet", "alpha": 0.3, "min_samples": 4}
    data["fleet"] = classes(2.0, 5.0, 11.0)
    return data | sections


@pytest.mark.parametrize("spec", [Serial(), Vmap(chunk=3)], ids=lambda spec: str(spec.kind))
@pytest.mark.parametrize("personalization", [None, {"kind": "fedper"}], ids=str)
def test_a_run_is_algorithm_2(spec: Executor, personalization: Any) -> None:
    """Every round's tier is the one that the paper's probabilities and this round's draws give.

    A tier is drawn with the smallest -log(u) / p, which is the smallest of exponential times with rates p.
    """
    of, journal = tiny(scenario(personalization=personalization), spec=spec), MemoryJournal()
    simulate(of.scenario, of.costs, of.learner, journal)
    of.learner.finish()
    found = of.learner.close().clients
    assert found is not None
    paper, draws = Algorithm2(3, 2, [12] * 3), Stream(of.scenario.seed, "selection")
    changes = 0
    for number in range(30):
        of_version = found.version == number
        tier_of = found.client[of_version] // 4
        right = found.samples[of_version] * found.accuracy[of_version]
        accuracies = [
            float(right[tier_of == tier].sum() / found.samples[of_version][tier_of == tier].sum())
            for tier in range(3)
        ]
        before = paper.probabilities
        probabilities = paper.begin(accuracies)
        changes += paper.probabilities != before
        uniforms = draws.uniforms_for(8 * (number + 1) + 1, np.arange(3))
        times = [-math.log(u) / p if p else math.inf for u, p in zip(uniforms, probabilities, strict=True)]
        tier = times.index(min(times))
        paper.draw(tier)
        asked = [row.client for row in journal.tasks if row.base_version == number]
        assert {client // 4 for client in asked} == {tier}
    assert changes > 3
    assert min(paper.credits) < 5


class Reading(Noted):
    """Asks for the tests of every version as soon as it is made, and says whether it got them."""

    def __init__(self, of: Tiny) -> None:
        super().__init__(of)
        self.read = [of.learner.client_tests()]

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        result = super().aggregate(tasks, weights, anchor, group)
        self.read.append(self.client_tests())
        return result


@pytest.mark.parametrize(
    "personalization", [None, {"kind": "fine_tune"}, {"kind": "ditto"}, {"kind": "fedrep"}], ids=str
)
def test_reading_the_tests_at_once_makes_no_difference_to_them(personalization: Any) -> None:
    """Also where clients remember tasks whose updates the server had no use for."""
    strategy = {"kind": "fedbuff", "concurrency": 6, "buffer_size": 2, "max_staleness": 1}
    found = []
    for learner in (Noted, Reading):
        of = tiny(
            scenario(
                strategy=strategy,
                selection={"kind": "uniform"},
                personalization=personalization,
                evaluation={"clients": {"every": 2}},
                stop={"updates": 11},
            )
        )
        wrapped, journal = learner(of), MemoryJournal()
        simulate(of.scenario, of.costs, wrapped, journal)
        assert any(row.outcome is Outcome.DISCARDED for row in journal.tasks)
        of.learner.finish()
        clients = of.learner.close().clients
        assert clients is not None
        found.append(clients)
        if isinstance(wrapped, Reading):
            assert [read is not None for read in wrapped.read] == [
                version % 2 == 0 for version in range(12)
            ]
            assert wrapped.read[4] is not None
            of_version = clients.version == 4
            assert np.array_equal(wrapped.read[4].accuracy, clients.accuracy[of_version])
            assert np.array_equal(wrapped.read[4].version, clients.version[of_version])
    for column in ("version", "client", "samples", "accuracy", "loss"):
        assert np.array_equal(getattr(found[0], column), getattr(found[1], column))


def test_where_nothing_trains_only_credits_count() -> None:
    of, journal = tiny(scenario()), MemoryJournal()
    simulate(of.scenario, of.costs, NoLearner(), journal)
    tiers = [row.client // 4 for row in journal.tasks][::3]
    assert max(tiers.count(tier) for tier in range(3)) <= 12
    assert len(tiers) == 30


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"evaluation": {}}, "evaluation.clients", "tifl goes by the clients' own tests; give {every: 1}"),
    (
        {"selection": {"kind": "tifl", "tiers": 3, "adaptive": {"credits": [1, 2]}}},
        "selection.adaptive.credits",
        "one for each of the 3",
    ),
    (
        {"selection": {"kind": "tifl", "adaptive": {"credits": 0}}},
        "selection.adaptive.credits",
        "greater than or equal to 1",
    ),
]


@pytest.mark.parametrize(("sections", "where", "why"), REFUSED, ids=str)
def test_what_does_not_fit(sections: dict[str, Any], where: str, why: str) -> None:
    message = refusal(scenario(**sections))
    assert where in message
    assert why in message
