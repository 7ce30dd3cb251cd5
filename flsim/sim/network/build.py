"""A scenario's network section to a network."""

from simpy import Environment

from flsim.errors import ScenarioError
from flsim.records import Devices, Task
from flsim.scenario.network import Capacity, FixedCapacity
from flsim.scenario.network import Network as NetworkSpec
from flsim.sim.network.fair import FairLink
from flsim.sim.network.fifo import FifoLink
from flsim.sim.network.link import Link
from flsim.sim.network.private import PrivateLink
from flsim.sim.network.transfer import Direction, Network, Transfer

_SHARING: dict[str, type[Link]] = {"fair": FairLink, "fifo": FifoLink, "none": PrivateLink}


class StarNetwork:
    """Every client reaches the server through its own link and the server's; directions are apart."""

    def __init__(self, down: Link, up: Link) -> None:
        self._down = down
        self._up = up

    def start(self, direction: Direction, task: Task, size_bytes: int) -> Transfer:
        return self._link(direction).start(task.client, size_bytes)

    def uncontended_s(self, direction: Direction, task: Task, size_bytes: int) -> float:
        return self._link(direction).uncontended_s(task.client, size_bytes)

    def _link(self, direction: Direction) -> Link:
        return self._down if direction is Direction.DOWN else self._up


def build_network(env: Environment, spec: NetworkSpec, devices: Devices) -> Network:
    """Return the network that a scenario describes, on the links that the devices have."""
    down_class = _SHARING[spec.sharing] if spec.server.uplink is not None else PrivateLink
    up_class = _SHARING[spec.sharing] if spec.server.downlink is not None else PrivateLink
    return StarNetwork(
        down=down_class(env, devices.downlink_bps, devices.latency_s, _rate(spec.server.uplink)),
        up=up_class(env, devices.uplink_bps, devices.latency_s, _rate(spec.server.downlink)),
    )


def _rate(capacity: Capacity | None) -> float | None:
    if capacity is None:
        return None
    if isinstance(capacity, FixedCapacity):
        return capacity.rate
    raise ScenarioError(f"network.server: no link here has a {type(capacity).__name__}")
