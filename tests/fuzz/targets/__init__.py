"""Every parser that reads what came from outside. A new one is a `Target` in a module listed here."""

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    command_line,
    datasets,
    governance,
    graphs,
    partitions,
    runs,
    scenarios,
    tables,
    traces,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (scenarios, command_line, traces, graphs, partitions, datasets, tables, runs, governance)
    for target in module.TARGETS
}
