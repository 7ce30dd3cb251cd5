"""Energy: what a task draws from its device, above what the device draws idle."""

from flsim.records import Devices
from flsim.scenario.fleet import Fleet, PowerModel
from flsim.sim.flight import Flight


class EnergyMeter:
    """Joules of a flight, from the power model of its device's class."""

    def __init__(self, fleet: Fleet, devices: Devices) -> None:
        self._device_class = devices.device_class.data
        own: list[PowerModel | None] = [device_class.power for device_class in fleet.classes]
        self._powers = [power or fleet.power for power in own] if own else [fleet.power]
        self._metered = any(self._powers)

    def joules(self, flight: Flight) -> float | None:
        """Return what the flight has drawn so far; None where the device has no power model."""
        if not self._metered:
            return None
        power = self._powers[self._device_class[flight.task.client]]
        if power is None:
            return None
        return (
            power.receive * flight.received_s
            + power.compute * flight.computed_s
            + power.transmit * flight.transmitted_s
        )
