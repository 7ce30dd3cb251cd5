"""Every parser that reads what came from outside. A new one is a `Target` in a module listed here."""

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    command_line,
    datasets,
    governance,
    graphs,
    killed,
    partitions,
    runs,
    scenarios,
    tables,
    traces,
)

_MODULES = (
    *(scenarios, command_line, traces, graphs, partitions, datasets),
    *(tables, runs, killed, governance),
)
TARGETS: dict[str, Target] = {
    target.name: target
    for module in _MODULES
    for target in module.TARGETS
}
