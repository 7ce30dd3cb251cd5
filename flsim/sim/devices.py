"""The devices of the fleet as columns: one numpy array per attribute, no object per client."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.records import Devices
from flsim.scenario import Scenario
from flsim.scenario.fleet import Compute, Duration, Fleet, Speed
from flsim.scenario.shares import quotas
from flsim.tasks import TaskCosts

_STANDARD_NORMAL = NormalDist()
_MOST_CLASSES = 255  # their numbers are bytes
_LEAST = 2.0**-53  # the smallest uniform; 1 - _LEAST is the largest


def draw_devices(scenario: Scenario) -> Devices:
    """Draw every client's class, speed, link rates and latency from the scenario's seed.

    Raises ScenarioError if there are too many classes, or no speeds to correlate with.
    """
    fleet, network, seed = scenario.fleet, scenario.network, scenario.seed
    correlation, clients = network.correlation, fleet.clients
    classes = compute_classes(fleet)
    device_class = _assign_classes(fleet, seed)
    downlinks = Stream(seed, "device.downlink").uniforms(clients)
    uplinks = _correlated(Stream(seed, "device.uplink").uniforms(clients), downlinks, correlation.links)
    latencies = Stream(seed, "device.latency").uniforms(clients)
    rates = np.empty((clients, 3))  # a task reads all of its client's: side by side, they are one access
    rates[:, 0] = _speeds(scenario, classes, device_class, downlinks)
    rates[:, 1] = network.downlink.column(downlinks)
    rates[:, 2] = network.uplink.column(uplinks)
    return Devices(
        class_names=tuple(name for name, _ in classes),
        device_class=device_class,
        speed_flops=rates[:, 0],
        downlink_bps=rates[:, 1],
        uplink_bps=rates[:, 2],
        latency_s=network.latency.column(latencies),
    )


def compute_classes(fleet: Fleet) -> Sequence[tuple[str, Compute]]:
    """Return the name and the compute of every device class; one class where none are named."""
    if fleet.compute is not None:
        return [("default", fleet.compute)]
    return [(device_class.name, device_class.compute) for device_class in fleet.classes]


def _speeds(
    scenario: Scenario,
    classes: Sequence[tuple[str, Compute]],
    device_class: NDArray[np.uint8],
    downlinks: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the compute speed of every client, NaN where its class has durations instead."""
    clients, correlation = len(device_class), scenario.network.correlation.speed
    if correlation and not any(isinstance(compute, Speed) for _, compute in classes):
        raise ScenarioError("network.correlation.speed: no device here has a compute speed to correlate")
    uniforms = _correlated(Stream(scenario.seed, "device.speed").uniforms(clients), downlinks, correlation)
    speeds = np.full(clients, math.nan)
    for index, (_, compute) in enumerate(classes):
        if isinstance(compute, Speed):
            members = device_class == index
            speeds[members] = compute.flops.column(uniforms[members])
    return speeds


def _correlated(
    uniforms: NDArray[np.float64], others: NDArray[np.float64], correlation: float
) -> NDArray[np.float64]:
    """Return uniforms whose normal scores correlate with those of `others`: a Gaussian copula.

    Without correlation they are what they were. Like all draws, these are the C library's arithmetic,
    one value at a time.
    """
    if not correlation:
        return uniforms
    score, rank = _STANDARD_NORMAL.inv_cdf, _STANDARD_NORMAL.cdf
    own = math.sqrt(1 - correlation * correlation)
    ranks = (
        rank(correlation * score(other) + own * score(u))
        for u, other in zip(uniforms.tolist(), others.tolist(), strict=True)
    )
    # Far out in the tails, a rank rounds to 0 or 1, where no distribution has a quantile.
    return np.clip(np.fromiter(ranks, np.float64, len(uniforms)), _LEAST, 1 - _LEAST)


def _assign_classes(fleet: Fleet, seed: int) -> NDArray[np.uint8]:
    """Give each class its share of the clients exactly (largest remainders)."""
    assigned = np.zeros(fleet.clients, dtype=np.uint8)
    if not fleet.classes:
        return assigned
    if len(fleet.classes) > _MOST_CLASSES:
        raise ScenarioError(f"fleet.classes: at most {_MOST_CLASSES} device classes")
    counts = quotas([device_class.share for device_class in fleet.classes], fleet.clients)
    in_order = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    if fleet.class_order == "listed":
        return in_order
    order = np.argsort(Stream(seed, "device.class").uniforms(fleet.clients), kind="stable")
    assigned[order] = in_order
    return assigned


class TaskTimes(Protocol):
    """Says how long tasks compute."""

    def seconds(
        self, client: int, ordinal: int, dispatched_s: float = 0.0, work_flop: float | None = None
    ) -> float:
        """Return the seconds of training of a client's task number `ordinal`, dispatched at a moment.

        `work_flop`: its work, where that is not what the costs say.
        """


class ComputeTimes:
    """How long each task's training takes on its device."""

    def __init__(self, scenario: Scenario, devices: Devices, costs: TaskCosts) -> None:
        self._classes = [compute for _, compute in compute_classes(scenario.fleet)]
        self._device_class = devices.device_class.data
        self._speed = devices.speed_flops.data
        self._costs = costs
        self._draws = Stream(scenario.seed, "task.compute")

    def seconds(
        self, client: int, ordinal: int, dispatched_s: float = 0.0, work_flop: float | None = None
    ) -> float:
        compute = self._classes[self._device_class[client]]
        if isinstance(compute, Speed):
            if work_flop is None:
                work_flop = self._costs.load(dispatched_s).work_flop[client]
            seconds = work_flop / self._speed[client]
            if compute.jitter:
                u = self._draws.uniform(client, ordinal)
                seconds *= math.exp(compute.jitter * _STANDARD_NORMAL.inv_cdf(u))
            return seconds
        if isinstance(compute, Duration):
            return compute.task.quantile(self._draws.uniform(client, ordinal))
        raise ScenarioError(f"fleet.compute: the world cannot time a {type(compute).__name__}")
