"""Every parser that reads what came from outside. A new one is a `Target` in a module listed here."""

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    adapted,
    command_line,
    datasets,
    governance,
    graphs,
    judged,
    killed,
    partitions,
    runs,
    scenarios,
    side_tables,
    tables,
    traces,
)

_MODULES = (
    *(scenarios, command_line, traces, graphs, partitions, datasets, adapted),
    *(tables, side_tables, runs, judged, killed, governance),
)
TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
