"""Noise that clients add in shares under their masks: its law, its bounds, and what a sum costs."""

import math
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats

from flsim.calibrate import calibrate
from flsim.errors import ScenarioError
from flsim.learn.privacy.distributed import NoiseShare
from flsim.learn.secure import SecureLearner
from flsim.policy.accounting import Release
from flsim.policy.skellam import NoisySum, SkellamLedger
from flsim.records import Outcome
from flsim.running import run
from flsim.scenario import Scenario, scenario_from
from flsim.scenario.distributed_privacy import DistributedPrivacy
from flsim.secagg.fixed_point import FixedPoint, Words, reduced
from flsim.secagg.noise import WRAPS, most_square, reach, rounded, skellam
from flsim.sim.world import Simulated, simulate
from flsim.tasks import Anchor, SecureSession, Task
from flsim.workload import prepare_workload
from tests.executors import Scaled
from tests.memory import MemoryJournal
from tests.refused import refusal
from tests.tiny import Tiny, scenario_data, tiny

DELTA = 1e-5
CLIENTS = 6
PRECISION = 10
STEP = 2.0**-PRECISION
NOISY = {"kind": "distributed", "clip": 0.5, "noise_multiplier": 1.5}
SECURE = {"kind": "secagg", "threshold": 4, "precision": PRECISION, "mode": "fast"}
SYNC = {"kind": "sync", "cohort": CLIENTS, "weighting": "equal"}


def draws(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def task(client: int, ordinal: int = 0) -> Task:
    return Task(client + 100 * ordinal, client, ordinal, 0, 0.0, 10)


# Rounding


def bound_of(norm: float, numbers: int) -> float:
    """Return the bound of Kairouz et al. for exp(-1/2), written out."""
    beta = math.exp(-0.5)
    likely = norm**2 + numbers / 4 + math.sqrt(2 * math.log(1 / beta)) * (norm + math.sqrt(numbers) / 2)
    return min(likely, (norm + math.sqrt(numbers)) ** 2)


@given(st.floats(0.1, 1e6), st.integers(1, 10_000))
def test_what_is_rounded_is_within_the_bound_of_the_paper(norm: float, numbers: int) -> None:
    assert most_square(norm, numbers) == pytest.approx(bound_of(norm, numbers), rel=1e-9, abs=1)
    assert most_square(norm, numbers) <= bound_of(norm, numbers) * (1 + 1e-12)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=30), st.integers(0, 999))
def test_every_number_is_rounded_to_one_beside_it_and_all_stay_within_the_bound(
    values: list[float], seed: int
) -> None:
    given_values = np.array(values)
    most = most_square(float(np.linalg.norm(given_values)), len(values))
    whole = rounded(given_values, most, draws(seed))
    assert whole.dtype == np.int64
    assert all(abs(one - value) < 1 for one, value in zip(whole.tolist(), values, strict=True))
    assert sum(one * one for one in whole.tolist()) <= most


def test_rounding_is_right_on_average() -> None:
    values = np.array([0.25, -3.9, 7.0, 0.5])
    made = np.array([rounded(values, 10_000, draws(seed)) for seed in range(4000)])
    np.testing.assert_allclose(made.mean(0), values, atol=4 * 0.5 / math.sqrt(4000))


def test_what_would_be_longer_than_the_bound_is_rounded_anew() -> None:
    """Of 400 halves, the bound leaves out the longest third at most; all that are drawn are within it."""
    values = np.full(400, 0.5)
    most = most_square(10.0, 400)
    assert most < 400
    squares = [int(rounded(values, most, draws(seed)).sum()) for seed in range(300)]
    assert max(squares) <= most
    once = [int((draws(seed).random(400) < 0.5).sum()) for seed in range(300)]
    assert np.mean([one <= most for one in once]) >= 1 - math.exp(-0.5)
    tight = 195
    assert max(int(rounded(values, tight, draws(seed)).sum()) for seed in range(50)) <= tight
    with pytest.raises(ValueError, match="of the squared norm 400 are never within 399"):
        rounded(np.ones(400), 399, draws(1))


# Noise


def test_noise_is_whole_and_has_the_law_of_skellam() -> None:
    noise = skellam(6.0, 100_000, draws(1))
    assert noise.dtype == np.int64
    values = np.arange(-8, 9)
    counted = np.array([(noise == value).sum() for value in values])
    wanted = 100_000 * special.ive(np.abs(values), 6.0)  # e^-v I_k(v), which is the law for variance v
    rest = 100_000 - counted.sum(), 100_000 - wanted.sum()
    found = stats.chisquare(np.append(counted, rest[0]), np.append(wanted, rest[1]))
    assert found.pvalue > 1e-3


def noise_of(client: int, ordinal: int, spec: DistributedPrivacy, fewest: int, seed: int = 3) -> Any:
    """Return the noise of a task whose update is zeros: 500 whole numbers."""
    code = FixedPoint(spec.clip, PRECISION, 100, noise=2**30)
    words = NoiseShare(spec, code, seed).masked(task(client, ordinal), np.zeros(500), fewest)
    return np.rint(code.decoded(words) / STEP).astype(np.int64)


@pytest.mark.parametrize(("inputs", "colluding"), [(4, 0), (7, 0), (4, 1)])
def test_the_noise_of_a_sum_has_the_stated_deviation(inputs: int, colluding: int) -> None:
    """10,000 numbers of sums: their deviation is known to 0.7 %, one standard error.

    Sums of as many as are sure to be there, without those who collude, have what the multiplier says, and
    those of more clients have more.
    """
    spec = DistributedPrivacy(clip=0.5, noise_multiplier=1.5, colluding=colluding)
    sums = [
        sum(noise_of(client, ordinal, spec, fewest=4) for client in range(inputs - colluding))
        for ordinal in range(20)
    ]
    noise = np.concatenate(sums)
    assert len(noise) == 10_000
    wanted = 1.5 * 0.5 / STEP * math.sqrt((inputs - colluding) / (4 - colluding))
    assert noise.std() == pytest.approx(wanted, rel=0.02)
    assert abs(noise.mean()) < 4 * wanted / 100
    distance = stats.kstest((noise + 0.5) / wanted, "norm")  # of so fine steps, it is as good as Gaussian
    assert distance.pvalue > 1e-3


def test_noise_is_that_of_the_task_and_of_no_other() -> None:
    spec = DistributedPrivacy()
    np.testing.assert_array_equal(noise_of(2, 5, spec, 4), noise_of(2, 5, spec, 4))
    for other in (noise_of(5, 2, spec, 4), noise_of(2, 6, spec, 4), noise_of(2, 5, spec, 4, seed=4)):
        assert (noise_of(2, 5, spec, 4) == other).mean() < 0.05


@pytest.mark.parametrize("variance", [0.01, 1.0, 300.0])
def test_noise_beyond_its_reach_is_as_rare_as_is_said(variance: float) -> None:
    """By the law itself, added up from the bound on."""
    bound = reach(variance)

    def beyond(least: int) -> float:
        return 2 * float(special.ive(np.arange(least, least + 4000), variance).sum())

    assert beyond(bound) <= WRAPS
    assert beyond(int(0.9 * bound) - 1) > WRAPS  # and the bound is not much too large


@pytest.mark.parametrize("clients", [2, 5, 40])
def test_the_modulus_has_room_for_all_updates_and_the_noise_of_all(clients: int) -> None:
    spec = DistributedPrivacy(clip=0.5, noise_multiplier=3.0)
    secure = scenario_from(data_of(clients=clients, cohort=clients, secure={"threshold": 0.6}))
    assert secure.secure_aggregation is not None
    code = spec.code(FixedPoint(4.0, PRECISION, clients), secure.secure_aggregation.fewest)
    every = (3.0 * 0.5 / STEP) ** 2 * clients / math.ceil(0.6 * clients)  # the noise if nobody drops out
    largest = clients * math.ceil(0.5 / STEP) + reach(every)
    assert 2**code.bits > 2 * largest
    assert 2 ** (code.bits - 1) <= 2.3 * largest


# The sum


def data_of(
    clients: int = CLIENTS,
    cohort: int = CLIENTS,
    privacy: dict[str, Any] | None = None,
    secure: dict[str, Any] | None = None,
    **sections: Any,
) -> dict[str, Any]:
    strategy = SYNC | {"cohort": cohort}
    made = {"privacy": NOISY | (privacy or {}), "secure_aggregation": SECURE | (secure or {})}
    return scenario_data(clients, strategy, **(made | sections))


def noisy(factors: dict[int, float], mode: str = "fast", **privacy: Any) -> Tiny:
    data = data_of(privacy=privacy, secure={"mode": mode})
    return tiny(data, lambda own: Scaled(own, factors))


def summed(of: Tiny, there: tuple[int, ...] = tuple(range(CLIENTS))) -> tuple[NDArray[np.int64], Any]:
    """Return the unmasked sum of a session in whole steps, and the server update's result."""
    learner, totals = of.learner, list[NDArray[np.float64]]()
    assert isinstance(learner, SecureLearner)
    plain = learner._sum

    def noted(session: SecureSession, inputs: dict[int, Words]) -> Words:
        total = plain(session, inputs)
        totals.append(learner._code.decoded(total))
        return total

    learner._sum = noted  # type: ignore[method-assign]
    tasks = [task(client) for client in there]
    for each in tasks:
        learner.submit(each)
    everybody = tuple(range(CLIENTS))
    learner.unmask(SecureSession(0, 4, everybody, everybody, there, there, fewest=4))
    before = learner.weights.double().numpy().copy()
    result = learner.aggregate(tasks, [1 / len(tasks)] * len(tasks), Anchor.BASE)
    moved = learner.weights.double().numpy() - before
    [total] = totals
    np.testing.assert_allclose(moved, total / len(tasks), atol=1e-6)
    return np.rint(total / STEP).astype(np.int64), result


@pytest.mark.parametrize("factor", [1.0, -1e3, 1e30])
def test_one_client_moves_the_sum_by_no_more_than_the_bound(factor: float) -> None:
    """All else equal, noise included: from an update of zeros to any other."""
    nothing, _ = summed(noisy({2: 0.0}))
    something, _ = summed(noisy({2: factor}))
    moved = (something - nothing).tolist()
    square, numbers = sum(one * one for one in moved), len(moved)
    assert square <= bound_of(0.5 / STEP, numbers)
    assert sum(map(abs, moved)) <= min(math.sqrt(numbers * square), square)
    if abs(factor) > 1:
        assert square == pytest.approx((0.5 / STEP) ** 2, rel=0.01)


def test_a_sum_is_that_of_the_updates_within_the_bound_and_of_the_noise() -> None:
    of = noisy({0: 10.0})
    everybody = range(CLIENTS)
    total, _ = summed(of)
    spec = of.scenario.privacy
    assert isinstance(spec, DistributedPrivacy)
    expected = np.zeros(len(total))
    for client in everybody:
        update = (of.local_step(of.initial, client, 0.5) - of.initial).double().numpy()
        update *= 10.0 if client == 0 else 1.0
        expected += update * min(1.0, 0.5 / float(np.linalg.norm(update)))
    share = NoiseShare(spec, of.scenario.secure_aggregation.code(of.scenario), 3)  # type: ignore[union-attr]
    zeros = [share.masked(task(client), np.zeros(len(total)), 4) for client in everybody]
    noise = share._code.decoded(reduced(np.sum(zeros, axis=0, dtype=np.uint64), share._code.bits))
    # Each of six numbers is rounded to one beside it.
    assert np.abs(total * STEP - noise - expected).max() < CLIENTS * STEP + 1e-6


@pytest.mark.parametrize("there", [tuple(range(CLIENTS)), (0, 2, 3, 5)])
def test_the_protocol_gives_the_sum_that_is_added_up_without_it(there: tuple[int, ...]) -> None:
    fast, protocol = noisy({}), noisy({}, mode="protocol")
    np.testing.assert_array_equal(summed(fast, there)[0], summed(protocol, there)[0])
    assert fast.learner.model_sha256() == protocol.learner.model_sha256()


@pytest.mark.parametrize("broken", [{1}, set(range(CLIENTS))])
def test_a_client_whose_training_goes_wrong_sends_noise_as_if_it_had_learned_nothing(
    broken: set[int],
) -> None:
    found, result = summed(noisy(dict.fromkeys(broken, math.nan)))
    np.testing.assert_array_equal(found, summed(noisy(dict.fromkeys(broken, 0.0)))[0])
    assert len(result.rejected) == len(broken)
    assert found.std() > 0.5 * 1.5 * 0.5 / STEP


# What a sum costs


def epsilon_by_hand(z: float, numbers: int, sums: int, clip: float, precision: int) -> float:
    """The bound of Agarwal et al., and of Canonne et al. from divergences to epsilon, written out."""
    square = math.floor(bound_of(clip * 2**precision, numbers))
    mu = (z * clip * 2**precision) ** 2
    absolute = min(math.sqrt(numbers) * math.sqrt(square), square)
    found = []
    for order in (*range(2, 129), 160, 192, 256, 384, 512, 768, 1024):
        above = min(((2 * order - 1) * square + 6 * absolute) / (4 * mu**2), 3 * absolute / (2 * mu))
        divergence = sums * (order * square / (2 * mu) + above)
        found.append(
            divergence + math.log((order - 1) / order) - (math.log(DELTA) + math.log(order)) / (order - 1)
        )
    return max(0.0, min(found))


@pytest.mark.parametrize("precision", [2, 6, 16])
@pytest.mark.parametrize(("z", "sums"), [(0.1, 1), (0.7, 1), (3.0, 40), (12.0, 7)])
def test_epsilon_is_that_of_the_bound_written_out(z: float, sums: int, precision: int) -> None:
    spec = DistributedPrivacy(clip=0.8, noise_multiplier=z)
    ledger = SkellamLedger(spec.sums(precision, 650), DELTA)
    for _ in range(sums):
        after = ledger.after(Release({7: 1.0}))
        ledger.enter(Release({7: 1.0}))
        assert ledger.epsilon == after
    assert ledger.epsilon == pytest.approx(epsilon_by_hand(z, 650, sums, 0.8, precision), rel=1e-6)


def test_with_fine_steps_epsilon_is_that_of_gaussian_noise_and_with_coarse_ones_more() -> None:
    def gaussian(z: float, sums: int) -> float:
        orders = range(2, 129)
        cost = (sums * order / (2 * z**2) for order in orders)
        return min(
            rdp + math.log((order - 1) / order) - (math.log(DELTA) + math.log(order)) / (order - 1)
            for rdp, order in zip(cost, orders, strict=True)
        )

    spec = DistributedPrivacy(clip=1.0, noise_multiplier=2.0)
    found = [spec.sums(precision, 1000).epsilon(10, DELTA) for precision in (2, 6, 10, 16)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(gaussian(2.0, 10), rel=1e-4)
    assert found[-1] > gaussian(2.0, 10)
    assert found[0] > 3 * gaussian(2.0, 10)


@pytest.mark.parametrize("variance", [0.5, 4.0, 50.0, 1000.0])
@pytest.mark.parametrize("moved", [1, 3, 10])
def test_the_divergence_of_the_law_itself_is_within_the_bound(variance: float, moved: int) -> None:
    """Of one number, moved by so much, at orders from 2 to 20: added up from the law."""
    values = np.arange(-3000, 3001)
    with np.errstate(divide="ignore", invalid="ignore"):
        law = np.log(special.ive(np.abs(values), variance))
        other = np.log(special.ive(np.abs(values - moved), variance))
    both = np.isfinite(law) & np.isfinite(other)
    for order in (2, 3, 7, 20):
        terms = order * law[both] + (1 - order) * other[both]
        exact = float(special.logsumexp(terms)) / (order - 1)
        bound = NoisySum(moved**2, variance, 1).divergence(order)
        assert exact <= bound
        if variance >= 50 and moved**2 < variance:
            assert bound <= 1.3 * exact


def test_whoever_was_in_most_sums_decides() -> None:
    sums = NoisySum(1000, 4000.0, 10)
    ledger = SkellamLedger(sums, DELTA)
    assert ledger.epsilon == 0
    for clients in ([1, 2], [2, 3], [4, 5], [2]):
        ledger.enter(Release(dict.fromkeys(clients, 1.0)))
    assert ledger.epsilon == sums.epsilon(3, DELTA)
    assert ledger.after(Release({4: 1.0, 1: 1.0})) == ledger.epsilon
    assert ledger.after(Release({1: 1.0, 2: 1.0})) == sums.epsilon(4, DELTA)


# Runs


def timed(made: Scenario) -> tuple[MemoryJournal, Simulated]:
    journal = MemoryJournal()
    costs, learner, _ = prepare_workload(made, timing_only=True)
    return journal, simulate(made, costs, learner, journal)


def synthetic(privacy: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Twelve clients of whom five are asked at a time; an update has 250,000 numbers."""
    return {
        "name": "spent",
        "seed": 3,
        "workload": {"kind": "synthetic", "upload": 1e6, "download": 1e6},
        "fleet": {
            "clients": 12,
            "compute": {"kind": "duration", "task": {"kind": "exponential", "mean": 10}},
            "failure": {"dropout": 0.1},
        },
        "strategy": {"kind": "sync", "cohort": 5, "weighting": "equal"},
        "secure_aggregation": {"kind": "secagg", "threshold": 3, "mode": "fast", "precision": 12},
        "stop": {"updates": 30},
        "privacy": {"kind": "distributed", "noise_multiplier": 2.0} | privacy,
    } | sections


def cost(sums: int, z: float = 2.0) -> float:
    return epsilon_by_hand(z, 250_000, sums, 1.0, 12) if sums else 0.0


def test_a_client_pays_for_the_sums_that_it_was_in_and_for_no_other_task() -> None:
    journal, simulated = timed(scenario_from(synthetic({})))
    outcomes = Counter(row.outcome for row in journal.tasks)
    assert outcomes[Outcome.DROPPED] > 5
    within = Counter[int]()
    for version in journal.versions[1:]:
        within.update(row.client for row in journal.tasks if row.aggregated_version == version.version)
        assert version.epsilon == pytest.approx(cost(max(within.values())), rel=1e-6)
    assert simulated.epsilon == journal.versions[-1].epsilon


@pytest.mark.parametrize("share", [1 + 1e-9, 1 - 1e-6])
def test_a_session_whose_sum_would_cross_the_budget_is_not_begun(share: float) -> None:
    limit = share * cost(6)
    journal, simulated = timed(scenario_from(synthetic({"budget": {"epsilon": limit}})))
    assert simulated.ending.reason == "privacy"
    assert f"one sum more would take epsilon from {simulated.epsilon:.4g}" in simulated.ending.detail
    within = Counter(row.client for row in journal.tasks if row.outcome is Outcome.AGGREGATED)
    assert max(within.values()) == (6 if share > 1 else 5)
    assert simulated.epsilon == pytest.approx(cost(max(within.values())), rel=1e-6)
    assert simulated.epsilon is not None
    assert simulated.epsilon <= limit
    free, _ = timed(scenario_from(synthetic({})))
    assert [row.time_s for row in journal.versions] == [
        row.time_s for row in free.versions[: len(journal.versions)]
    ]
    assert len(journal.versions) < len(free.versions)


@pytest.mark.parametrize("target", [{"epsilon": 3.0, "releases": 9}, {"epsilon": 9.0}])
def test_a_target_becomes_the_least_noise_that_keeps_to_it(target: dict[str, Any]) -> None:
    made = calibrate(scenario_from(synthetic({"noise_multiplier": target})))
    assert made.privacy is not None
    releases, z = target.get("releases", 30), made.privacy.multiplier
    assert cost(releases, z) <= target["epsilon"]
    assert cost(releases, 0.999 * z) > target["epsilon"]


def test_noise_for_which_there_is_no_room_is_found_when_it_is_known() -> None:
    target = {"epsilon": 0.1, "releases": 1000}
    with pytest.raises(ScenarioError, match=r"secure_aggregation.*such fine steps.*accepted: at most \d"):
        calibrate(scenario_from(synthetic({"noise_multiplier": target})))


def test_a_run_reports_what_it_spent(tmp_path: Any) -> None:
    data = data_of(output={"dir": str(tmp_path), "plots": False, "timeline": False})
    summary = run(scenario_from(data)).summary
    told = summary["privacy"]
    assert (told["kind"], told["accounting"], told["colluding"]) == ("distributed", "rdp", 0)
    numbers = 6 * 8 + 8 + 8 * 3 + 3
    assert told["epsilon"] == pytest.approx(epsilon_by_hand(1.5, numbers, 5, 0.5, PRECISION), rel=1e-6)
    assert told["counted_by"].startswith("the sums that each client was in")


def sessions_of(privacy: bool) -> MemoryJournal:
    """Twelve clients, five of whom go away before they have sent their keys."""
    names = (("usual", 7 / 12), ("gone", 5 / 12))
    compute = {"kind": "duration", "task": 10.0}
    classes = [{"name": name, "share": share, "compute": compute} for name, share in names]
    outage = {"kind": "class", "name": "gone", "start": 0.2, "duration": 1e5}
    fleet = {
        "clients": 12,
        "classes": classes,
        "class_order": "listed",
        "failure": {"outages": [outage]},
    }
    data = synthetic({}, fleet=fleet, stop={"updates": 1, "time": 100.0})
    data["strategy"] = SYNC | {"cohort": 12}
    data["network"] = {"sharing": "none", "latency": 0.3}
    data["secure_aggregation"] |= {"kind": "secagg_plus", "neighbours": 4, "threshold": 3}
    if not privacy:
        del data["privacy"]
    return timed(scenario_from(data))[0]


def test_with_neighbours_a_sum_of_fewer_shares_than_are_counted_on_is_not_made() -> None:
    """Three of five holders is eight of twelve: seven have all the shares they need, but not the noise."""
    rows = sessions_of(privacy=False).sessions
    assert [row.outcome for row in rows] == ["completed"] * 4
    assert [row.dropped for row in rows] == [5, 0, 0, 0]
    journal = sessions_of(privacy=True)
    assert [row.outcome for row in journal.sessions[:3]] == ["completed", "completed", "failed"]
    assert len(journal.versions) == 1


# Refusals


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"secure_aggregation": None}, "privacy.kind: a client's share of the noise does not hide it by"),
        ({"strategy": {"kind": "sync", "cohort": 6}}, "strategy.weighting: a client's number of samples"),
        ({"privacy": {"colluding": 4}}, "privacy.colluding: a sum is sure to have no more than 4 inputs"),
        ({"privacy": {"accounting": "pld"}}, "privacy.accounting: must be 'rdp'"),
        (
            {"privacy": {"clip": 2.0**21, "noise_multiplier": 1e-4}},
            "precision: such fine steps are too many .*at most 9",
        ),
        ({"privacy": {"noise_multiplier": 1e5}}, "precision: such fine steps are too many .*at most 5"),
        ({"privacy": {"noise_multiplier": 1e300}}, "accepted: none with this clip and noise"),
        ({"stop": {"updates": 3, "converged": 0.5}}, "stop.converged: "),
        ({"selection": {"kind": "oort"}}, "selection.kind: oort chooses by what single clients report"),
        ({"compression": {"uplink": {"kind": "sign"}}}, "compression: under its masks every number"),
        (
            {"strategy": {"kind": "fedbuff", "concurrency": 4, "buffer_size": 3}},
            "strategy.kind: fedbuff takes updates as",
        ),
    ],
)
def test_what_is_not_counted_is_refused(sections: dict[str, Any], why: str) -> None:
    privacy = NOISY | sections.get("privacy", {})
    assert re.search(why, refusal(data_of() | sections | {"privacy": privacy}))


def test_an_objective_with_a_state_at_the_server_is_refused() -> None:
    data = data_of()
    data["workload"]["training"]["objective"] = {"kind": "feddyn"}
    assert "with feddyn, the server also goes by what the updates were before" in refusal(data)
