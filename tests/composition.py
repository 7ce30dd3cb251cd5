"""What goes with what: every pair of kinds of a scenario's parts, and what refuses it.

    python -m tests.composition      # prints the table of docs/scenario.md

A pair is put into one small scenario, whose other parts are the plainest ones: 16 clients, 8 updates in a
server update, all of the same weight.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from flsim.errors import ScenarioError
from flsim.scenario import Scenario, scenario_from
from flsim.scenario.catalogue import catalogue

CLIENTS = 16
NONE = "none"
PARTS = (
    "strategy",
    "selection",
    "aggregation",
    "workload.training.objective",
    "personalization",
    "hierarchy",
    "privacy",
    "compression.uplink",
    "compression.downlink",
    "attack",
    "secure_aggregation",
)
PLAIN = {
    "strategy": "sync",
    "selection": "uniform",
    "aggregation": "mean",
    "workload.training.objective": "loss",
}
EQUAL = {"weighting": "equal"}
# What has no default, or does not go with the scenario around it.
KEYS: dict[str, dict[str, Any]] = {
    "strategy sync": {"cohort": 8, "quorum": 8, **EQUAL},
    "strategy fedbuff": {"concurrency": 8, "buffer_size": 8, **EQUAL},
    "strategy port": {"concurrency": 8, "buffer_size": 8, "max_staleness": 8},
    "strategy fedasync": {"concurrency": 8},
    "strategy fedat": {"tiers": 2, "cohort": 8, **EQUAL},
    "strategy flower": {"class": "flwr.serverapp.strategy:FedAvg", "arguments": {"fraction_train": 0.5}},
    "selection fixed": {"lists": [list(range(8))]},
    "selection poisson": {"q": 0.8},
    "aggregation trimmed_mean": {"f": 1},
    "aggregation fltrust": {"root_samples": 20},
    "compression.uplink threshold": {"value": 0.01},
    "compression.uplink layers": {"codecs": [{"kind": "top_k", "share": 0.3}, {"kind": "sign"}]},
    "compression.downlink layers": {"codecs": [{"kind": "top_k", "share": 0.3}, {"kind": "sign"}]},
    "attack backdoor": {"trigger": {"kind": "columns", "columns": [0]}},
    "attack scaling": {"factor": 2.0},
    "privacy central": {"accounting": "rdp"},
    "privacy tree": {"accounting": "rdp"},
    "privacy local": {"accounting": "rdp"},
    "privacy examples": {"accounting": "rdp"},
    "privacy distributed": {"noise_multiplier": 0.5},
    "secure_aggregation secagg": {"mode": "fast"},
    "secure_aggregation secagg_plus": {"mode": "fast"},
    "secure_aggregation lightsecagg": {"mode": "fast"},
}
NOWHERE = {
    ("compression.downlink", "threshold"),  # its size is not known when a client is asked
    ("strategy", "server_app"),  # a Flower app's, which decides by itself what all other parts are for
}
# The strategy that a kind cannot be without, unless another one is what is tried.
NEEDS: dict[str, dict[str, Any]] = {
    "selection poisson": {"kind": "sync", "cohort": "all", "quorum": 8, **EQUAL},
    "aggregation fedat": {"kind": "fedat", **KEYS["strategy fedat"]},
    "secure_aggregation secagg": {"kind": "sync", "cohort": "all", "min_available": 8, **EQUAL},
    "secure_aggregation secagg_plus": {"kind": "sync", "cohort": "all", "min_available": 8, **EQUAL},
    "secure_aggregation lightsecagg": {"kind": "fedbuff", **KEYS["strategy fedbuff"]},
}
# The other part that a kind cannot be without, unless another kind of it is what is tried.
BESIDE = {"privacy distributed": ("secure_aggregation", "secagg")}
LICENSE = Path(__file__).parents[1] / "LICENSE"
ADAPTED = {
    "model": {
        "kind": "lora",
        "base": {"kind": "llama", "hidden": 16, "intermediate": 16, "heads": 2},
        "rank": 4,
    }
}
EDGES = {
    "hierarchy": {"strategy": {"kind": "sync", "cohort": "all"}},
    "network": {
        "topology": {
            "kind": "tree",
            "levels": [{"name": "edge", "nodes": 8, "downlink": 1e7, "uplink": 1e7}],
        }
    },
}
Choice = Mapping[str, str]  # the kind of each part; a part that is not there is the plainest one
Pair = tuple[tuple[str, str], tuple[str, str]]  # of a part and its kind, in the order of the parts


@cache
def kinds() -> dict[str, tuple[str, ...]]:
    """Return the kinds of each part, and `none` where a scenario can do without."""
    known = {place.path: tuple(place.kinds) for place in catalogue()}
    known["hierarchy"] = ("edges",)
    return {
        part: (
            *(() if part in PLAIN else (NONE,)),
            *(kind for kind in known[part] if (part, kind) not in NOWHERE),
        )
        for part in PARTS
    }


def composed(choice: Choice) -> dict[str, Any]:
    """Return a scenario's data with these kinds."""
    training = {"batch_size": "full", "optimizer": {"kind": "sgd", "lr": 0.2}}
    data: dict[str, Any] = {
        "name": "composed",
        "seed": 3,
        "workload": {
            "kind": "torch",
            "data": {
                "dataset": {"kind": "synthetic", "samples": 400, "features": 6, "classes": 3},
                "partition": {"kind": "iid"},
                "test_share": 0.25,
                "client_test_share": 0.2,
            },
            "model": {"kind": "mlp", "hidden": [4]},
            "training": training,
        },
        "fleet": {
            "clients": CLIENTS,
            "compute": {"kind": "duration", "task": {"kind": "exponential", "mean": 9.0}},
        },
        "evaluation": {"clients": {"every": 1}},
        "stop": {"updates": 3, "time": 1e4},
        "output": {"plots": False, "timeline": False},
    }
    beside = dict(BESIDE[key] for key in map(" ".join, choice.items()) if key in BESIDE)
    choice = beside | dict(choice)
    if choice.get("aggregation") == "flexlora":
        data["workload"] |= ADAPTED
        data["workload"]["data"]["dataset"] = {"kind": "text", "file": str(LICENSE), "length": 32}
    for part, kind in {**PLAIN, **choice}.items():
        spec = {"kind": kind} | KEYS.get(f"{part} {kind}", {})
        if kind == NONE:
            continue
        if part == "hierarchy":
            data |= EDGES
        elif part.startswith("compression."):
            data.setdefault("compression", {"error_feedback": False})[part.partition(".")[2]] = spec
        elif part == "workload.training.objective":
            training["objective"] = spec
        else:
            data[part] = spec
        needed = NEEDS.get(f"{part} {kind}")
        if needed is not None and choice.get("strategy", needed["kind"]) == needed["kind"]:
            data["strategy"] = needed
    return data


def scenario_of(choice: Choice) -> Scenario:
    """Return the scenario with these kinds. Raises ScenarioError if they do not go together."""
    return scenario_from(composed(choice))


def refusal(choice: Choice) -> str | None:
    """Return why these kinds do not go together; None if they do."""
    try:
        scenario_of(choice)
    except ScenarioError as error:
        return str(error)
    return None


def pairs() -> Iterator[dict[str, str]]:
    """Yield every pair of kinds of two parts."""
    for first, second in combinations(PARTS, 2):
        for one in kinds()[first]:
            for other in kinds()[second]:
                yield {first: one, second: other}


@cache
def refusals() -> dict[Pair, str]:
    """Return the pairs that are refused, and why."""
    found = ((_key(pair), refusal(pair)) for pair in pairs())
    return {pair: why for pair, why in found if why is not None}


def _key(pair: Choice) -> Pair:
    first, second = pair.items()
    return first, second


def sample(count: int | None = None) -> list[dict[str, str]]:
    """Return combinations of all parts that go together, with every pair of kinds that does among them.

    With `count`, only the first ones, which have many of them.

    Each begins with a pair that none before it has, and then takes, part by part, the kind with the most
    such pairs that still goes with the rest.
    """
    left = dict.fromkeys(key for pair in pairs() if (key := _key(pair)) not in refusals())
    made: list[dict[str, str]] = []
    while left and (count is None or len(made) < count):
        choice = dict(next(iter(left)))
        for part in PARTS:
            if part not in choice:
                choice[part] = _best(choice, part, left)
        for pair in combinations([(part, choice[part]) for part in PARTS], 2):
            left.pop(pair, None)
        made.append(choice)
    return made


def _best(choice: Choice, part: str, left: Mapping[Pair, None]) -> str:
    def gain(kind: str) -> int:
        return sum(_pair(part, kind, other, choice[other]) in left for other in choice)

    for kind in sorted(kinds()[part], key=gain, reverse=True):
        if refusal({**choice, part: kind}) is None:
            return kind
    raise AssertionError(f"no {part} goes with {choice}")


def _pair(one: str, kind: str, other: str, its_kind: str) -> Pair:
    first, second = sorted([(one, kind), (other, its_kind)], key=lambda each: PARTS.index(each[0]))
    return first, second


def rows() -> Iterator[tuple[str, str]]:
    """Yield which kinds of a part do not go with which of another: those with the same others together."""
    for first, second in combinations(PARTS, 2):
        refused = [pair for pair in refusals() if (pair[0][0], pair[1][0]) == (first, second)]
        sides = [_grouped((a[1], b[1]) for a, b in refused), _grouped((b[1], a[1]) for a, b in refused)]
        turned = len(sides[1]) < len(sides[0])
        for others, ones in sides[turned].items():
            names = (second, first) if turned else (first, second)
            yield _told(names[0], ones), _told(names[1], others)


def _grouped(refused: Iterator[tuple[str, str]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    others: dict[str, tuple[str, ...]] = {}
    for one, other in refused:
        others[one] = (*others.get(one, ()), other)
    groups: dict[tuple[str, ...], tuple[str, ...]] = {}
    for one, those in others.items():
        groups[those] = (*groups.get(those, ()), one)
    return groups


def _told(part: str, chosen: tuple[str, ...]) -> str:
    every = [kind for kind in kinds()[part] if kind != NONE]
    name = part.removeprefix("workload.training.")
    if part == "hierarchy":
        return "`hierarchy`"
    missing = [kind for kind in every if kind not in chosen]
    if not missing:
        return f"any `{name}`"
    if len(missing) < len(chosen):
        return f"any `{name}` but {', '.join(missing)}"
    return f"`{name}` {', '.join(chosen)}"


def table() -> str:
    """Return the table of docs/scenario.md."""
    return "\n".join(["| this | not with |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows())])


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
