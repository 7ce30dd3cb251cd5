"""Every method that `flsim list` shows learns on scenarios/methods.yaml, in small form."""

import re
from pathlib import Path

import pytest
import yaml

from flsim.running import run
from flsim.scenario import read_scenario
from flsim.scenario.catalogue import catalogue
from tests.integration.command import SCENARIOS

METHODS = SCENARIOS / "methods.yaml"
PLACES = (
    "workload.training.optimizer",
    "workload.training.schedule",
    "workload.training.objective",
    "workload.metadata",
    "strategy",
    "strategy.staleness",
    "selection",
    "aggregation",
    "aggregation.participation",
    "aggregation.beta",
    "aggregation.suspects",
    "server_optimizer",
    "personalization",
    "privacy",
    "compression.uplink",
    "compression.downlink",
    "attack",
    "secure_aggregation",
)
# What has no default, or does not go with the rest of the scenario.
KEYS = {
    "lookup": {"probabilities": [0.2] * 40},
    "group": {"sizes": [30, 10]},
    "scalar": {"value": 0.2},
    "fixed": {"lists": [[0, 1, 2, 3], [4, 5, 6]]},
    "poisson": {"q": 0.3},
    "step": {"every": 2},
    "cosine": {"over": 4},
    "warmup": {"over": 2},
    "fedbuff": {"buffer_size": 6},
    "flower": {"class": "flwr.serverapp.strategy:FedAdam", "arguments": {"fraction_train": 0.2}},
    "central": {"accounting": "rdp"},
    "tree": {"accounting": "rdp"},
    "local": {"accounting": "rdp", "clip": 0.1, "noise_multiplier": 0.5},
    "examples": {"accounting": "rdp"},
    "distributed": {"noise_multiplier": 0.5},
    "threshold": {"value": 0.01},
    "layers": {"codecs": [{"kind": "top_k"}, {"kind": "min_max"}]},
    "trimmed_mean": {"f": 1},
    "scaling": {"factor": 2.0},
    "secagg_plus": {"neighbours": 4},
}
NOT_HERE = {
    ("compression.downlink", "threshold"),  # has no size that is known when a client is asked
    ("strategy", "server_app"),  # goes with a Flower app, which has methods of its own
}

AROUND = {
    "strategy.staleness": (),
    "aggregation.participation": ("aggregation.kind=unbiased",),
    "aggregation.beta": ("aggregation.kind=fedstale_async",),
    "aggregation.suspects": ("aggregation.kind=filter",),
}
# What a kind needs beside itself.
WITH = {
    ("selection", "poisson"): ("strategy={kind: sync, cohort: all}",),
    ("aggregation", "bulyan"): ("strategy.buffer_size=7",),
    ("secure_aggregation", "secagg"): ("strategy={kind: sync, cohort: 6}",),
    ("secure_aggregation", "secagg_plus"): ("strategy={kind: sync, cohort: 6}",),
    ("privacy", "distributed"): (
        "strategy={kind: sync, cohort: 6, weighting: equal}",
        "secure_aggregation={kind: secagg}",
    ),
    ("secure_aggregation", "lightsecagg"): ("strategy={kind: fedbuff, buffer_size: 6}",),
    ("aggregation", "fedat"): ("strategy={kind: fedat, tiers: 3, cohort: 4}",),
    ("aggregation", "flexlora"): (
        "workload.data.dataset={kind: python_topics, vocabulary: 30, length: 128}",
        "workload.data.partition={kind: iid}",
        "workload.model={kind: lora, base: {kind: llama, hidden: 16, intermediate: 16, heads: 2}, rank: 4}",
    ),
}
CHOICES = [
    pytest.param(place.path, kind, id=f"{place.path} {kind}")
    for place in catalogue()
    if place.path in PLACES
    for kind in place.kinds
    if (place.path, kind) not in NOT_HERE
]


def test_every_place_of_a_method_is_tried() -> None:
    assert set(PLACES) <= {place.path for place in catalogue()}


@pytest.mark.parametrize(("place", "kind"), CHOICES)
def test_a_method_learns(place: str, kind: str, tmp_path: Path) -> None:
    section = yaml.safe_dump({"kind": kind} | KEYS.get(kind, {}), default_flow_style=True).strip()
    overrides = (
        *AROUND.get(place, ()),
        *WITH.get((place, kind), ()),
        f"{place}={section}",
        f"output={{dir: {tmp_path}, plots: false, timeline: false}}",
        "stop={updates: 4}",
    )
    summary = run(read_scenario(METHODS, overrides)).summary
    assert summary["updates"] == 4
    assert summary["final_loss"] < 10
    assert summary["tasks"]["rejected"] == 0


@pytest.mark.parametrize("strategy", ["{kind: sync, cohort: 4}", "{kind: fedbuff, buffer_size: 4}"])
def test_tifl_with_adaptive_probabilities(strategy: str, tmp_path: Path) -> None:
    overrides = (
        "selection={kind: tifl, tiers: 3, adaptive: {every: 2, credits: [9, 9, 2]}}",
        f"strategy={strategy}",
        "evaluation={clients: {every: 2}}",
        f"output={{dir: {tmp_path}, plots: false, timeline: false}}",
        "stop={updates: 6}",
    )
    summary = run(read_scenario(METHODS, overrides)).summary
    assert summary["updates"] == 6
    assert summary["final_loss"] < 10


@pytest.mark.parametrize("line", re.findall(r"^#\s+flsim sweep .*$", METHODS.read_text(), re.MULTILINE))
def test_what_the_scenario_says_to_vary_can_be_varied(line: str) -> None:
    [key, values] = re.findall(r" (\S+)=(\S+)", line)[0]
    for value in values.split(","):
        found: object = read_scenario(METHODS, (f"{key}={value}",))
        for name in key.split("."):
            found = getattr(found, name)
        assert found == value
