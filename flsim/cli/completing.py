"""What can stand at the cursor: scenario files, run folders, components and keys of the scenario."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Items = list[CompletionItem]


def scenario_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the YAML files that begin like this, and the folders that may hold some."""
    return _paths(incomplete, lambda path: path.suffix in (".yaml", ".yml"))


def run_folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the folders of runs and sweeps that begin like this, and those on the way to some."""
    marks = ("summary.json", "sweep.csv")
    runs = [item.value for item in _paths(incomplete, lambda _: False)]
    return [
        CompletionItem(
            folder.rstrip("/") if any((Path(folder) / mark).exists() for mark in marks) else folder
        )
        for folder in runs
    ]


def places(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the places that take components."""
    from flsim.scenario.catalogue import catalogue

    return _beginning(incomplete, (place.path for place in catalogue()))


def kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the kinds of the place that was named before."""
    from flsim.scenario.catalogue import catalogue

    named = context.params.get("place")
    found = (kind for place in catalogue() if place.path == named for kind in place.kinds)
    return _beginning(incomplete, found)


def overrides(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the keys that go on from here, or the words that can be a key's value."""
    from flsim.scenario.keys import keys_beginning

    return [CompletionItem(found) for found in keys_beginning(incomplete)]


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> Items:
    """Return the folders, with a slash behind them, and the wanted files that begin like this."""
    parent, _, name = incomplete.rpartition("/")
    start = f"{parent}/" if "/" in incomplete else ""
    try:
        inside = sorted(Path(start or ".").expanduser().iterdir())
    except OSError:
        return []
    found = []
    for path in inside:
        if path.name.startswith(name) and (name.startswith(".") or not path.name.startswith(".")):
            if path.is_dir():
                found.append(f"{start}{path.name}/")
            elif wanted(path):
                found.append(f"{start}{path.name}")
    return [CompletionItem(path) for path in found]


def _beginning(incomplete: str, words: Iterable[str]) -> Items:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
