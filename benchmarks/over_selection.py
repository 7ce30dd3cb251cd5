"""What waiting for stragglers costs, and what over-selection and FedBuff make of it.

    python benchmarks/over_selection.py

Prints the tables of docs/world.md. A cell is the virtual time in which the server gathers n updates,
divided by the mean time of a task: 1 would be a server that never waits. The first table has the delay
distributions of theory; the second the `phones` fleet on the `mobile` network.
"""

import statistics
from typing import Any

from benchmarks.oracles import INSTANT, Rows
from flsim.records import Outcome
from flsim.scenario import Scenario, scenario_from
from flsim.scenario.workload import SyntheticWorkload
from flsim.sim.timing import NoLearner, synthetic_costs
from flsim.sim.world import simulate

ROUNDS = 300

DELAYS: dict[str, dict[str, Any]] = {
    "exponential": {"kind": "exponential", "mean": 1.0},
    "half-normal": {"kind": "half_normal", "scale": 1.0},
    "lognormal(0, 1)": {"kind": "lognormal", "median": 1.0, "sigma": 1.0},
    "uniform(0, 2)": {"kind": "uniform", "low": 0.0, "high": 2.0},
    "Pareto, index 2": {"kind": "pareto", "scale": 1.0, "index": 2.0},
}


def simulated(scenario: Scenario) -> Rows:
    assert isinstance(scenario.workload, SyntheticWorkload)
    rows = Rows()
    simulate(scenario, synthetic_costs(scenario, scenario.workload), NoLearner(), rows)
    return rows


def seconds_per_cohort(rows: Rows, cohort: int) -> float:
    """Return the virtual seconds in which `cohort` updates were aggregated, on average."""
    used = sum(row.outcome is Outcome.AGGREGATED for row in rows.tasks)
    return rows.versions[-1].time_s * cohort / used


def of_delays(delay: dict[str, Any], cohort: int, over_selection: float) -> float:
    scenario = scenario_from(
        {
            "name": "delays",
            "seed": 2,
            "workload": {"kind": "synthetic", "download": 0, "upload": 0},
            "fleet": {"clients": 2 * cohort, "compute": {"kind": "duration", "task": delay}},
            "network": INSTANT,
            "strategy": {"kind": "sync", "cohort": cohort, "over_selection": over_selection},
            "stop": {"updates": ROUNDS},
        }
    )
    law = scenario.fleet.compute.task  # type: ignore[union-attr]
    return seconds_per_cohort(simulated(scenario), cohort) / law.expectation  # type: ignore[no-any-return]


def phones(strategy: dict[str, Any], updates: int, **fleet: Any) -> Scenario:
    return scenario_from(
        {
            "name": "phones",
            "seed": 2,
            "workload": {"kind": "synthetic", "download": "5 MB", "upload": "5 MB", "compute": "60 GFLOP"},
            "fleet": {"preset": "phones", "clients": 10_000, **fleet},
            "network": {"preset": "mobile"},
            "strategy": strategy,
            "stop": {"updates": updates},
        }
    )


def of_phones(cohort: int, **fleet: Any) -> list[float]:
    """Return all of n, first n of 1.3 n, and FedBuff with n at work, per mean time of a lone task."""
    waiting = simulated(phones({"kind": "sync", "cohort": cohort}, ROUNDS // 3, **fleet))
    mean_s = statistics.fmean(row.ended_s - row.dispatched_s for row in completed(waiting))
    over = {"kind": "sync", "cohort": cohort, "over_selection": 1.3}
    buffered = {"kind": "fedbuff", "concurrency": cohort, "buffer_size": max(1, cohort // 10)}
    runs = [
        waiting,
        simulated(phones(over, ROUNDS // 3, **fleet)),
        simulated(phones(buffered, 10 * ROUNDS // 3, **fleet)),
    ]
    return [seconds_per_cohort(rows, cohort) / mean_s for rows in runs]


def completed(rows: Rows) -> list[Any]:
    return [row for row in rows.tasks if row.outcome is Outcome.AGGREGATED]


def main() -> None:
    sizes = (10, 100, 1000)
    print("| delay | all of " + " / ".join(map(str, sizes)) + " | first n of 1.3 n |")
    print("|---|---|---|")
    for name, delay in DELAYS.items():
        cells = [" / ".join(f"{of_delays(delay, n, over):.2f}" for n in sizes) for over in (1.0, 1.3)]
        print(f"| {name} | {' | '.join(cells)} |")
    print()
    print("| phones + mobile | all of n | first n of 1.3 n | FedBuff, n at work |")
    print("|---|---|---|---|")
    ideal = {"availability": {"kind": "always"}, "failure": {}}
    for label, fleet in (("never failing, always there", ideal), ("as measured", {})):
        for n in (10, 100, 1000):
            cells = " | ".join(f"{value:.2f}" for value in of_phones(n, **fleet))
            print(f"| {label}, n = {n} | {cells} |")


if __name__ == "__main__":
    main()
