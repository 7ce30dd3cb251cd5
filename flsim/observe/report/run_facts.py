"""The run that a report is about: its tables, what its scenario says of itself, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flsim.observe.ending import ending_of
from flsim.observe.scenario_file import scenario_data
from flsim.observe.states import end_of_run, fleet_size
from flsim.observe.tables import Tables, read_tables
from flsim.records import EndingRecord


@dataclass(frozen=True)
class Recorded:
    """The records of a run: its tables, and its scenario as text and as data."""

    tables: Tables
    scenario_yaml: str
    scenario: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the run is called."""
        return str(self.scenario.get("name", "a run"))

    @property
    def ending(self) -> EndingRecord | None:
        """How it ended; None if it was killed."""
        return ending_of(self.tables.ending)

    @property
    def end_s(self) -> float:
        """The virtual second at which it ended."""
        return end_of_run(self.tables)

    @property
    def clients(self) -> int:
        """How many clients the fleet has."""
        return fleet_size(self.tables)

    @property
    def device_classes(self) -> NDArray[np.object_]:
        """The device class of every client, and a dash for those of whom nothing is known: [clients]."""
        classes = np.full(self.clients, "–", dtype=object)
        known = self.tables.clients["device_class"].to_pylist()
        classes[: len(known)] = known
        return classes

    @property
    def who(self) -> str:
        """Who has the tasks that a version is made of."""
        return "client" if self.tables.edges is None else "edge"

    def kind_of(self, section: str) -> str:
        """Return the kind of a section of the scenario, such as its strategy."""
        found = self.scenario.get(section)
        return str(found.get("kind", "–")) if isinstance(found, Mapping) else "–"


def read_recorded(folder: Path) -> Recorded:
    """Return the records in a run's folder. Raises RunError if one is missing or cannot be read."""
    tables = read_tables(folder)
    text, data = scenario_data(folder)
    return Recorded(tables, text, data)
