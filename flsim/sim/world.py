"""The world: builds everything that a scenario describes, and lets virtual time pass."""

from dataclasses import dataclass
from typing import cast

from simpy import Environment

from flsim.records import Devices, Journal, Learner, TaskCosts
from flsim.scenario import Scenario
from flsim.sim.devices import ComputeTimes, draw_devices
from flsim.sim.fleet import FleetState
from flsim.sim.network import build_network
from flsim.sim.presence import Presence
from flsim.sim.schedules.build import build_schedules
from flsim.sim.server import Moment, Server, Surroundings, Watch
from flsim.sim.stopping import Ending


@dataclass(frozen=True)
class Simulated:
    """How a simulation ended, when, and on which devices it ran."""

    ending: Ending
    virtual_time_s: float
    devices: Devices


def unwatched(_: Moment) -> bool:
    """Let the run go on."""
    return True


def simulate(
    scenario: Scenario,
    costs: TaskCosts,
    learner: Learner,
    journal: Journal,
    watch: Watch = unwatched,
) -> Simulated:
    """Run the scenario to its end in virtual time.

    Every task's row and every version's row has reached the journal when this returns. Raises RunError
    when the strategy breaks its contract or time stands still.
    """
    env = Environment()
    devices = draw_devices(scenario)
    presence = Presence(env, scenario.fleet.clients, build_schedules(scenario))
    surroundings = Surroundings(
        env=env,
        fleet=FleetState(presence.there),
        presence=presence,
        network=build_network(env, scenario.network, devices),
        compute=ComputeTimes(scenario, devices, costs.work_flop),
        costs=costs,
        learner=learner,
        journal=journal,
        watch=watch,
    )
    server = Server(scenario, surroundings)
    presence.listen(server.client_changed, server.wake)
    process = env.process(server.run())
    env.run(until=process)
    ending = cast(Ending, process.value)
    return Simulated(ending, env.now, devices)
