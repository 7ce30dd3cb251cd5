"""How components are shown: set out on a terminal, and a line each for other programs."""

import inspect
from collections.abc import Iterable

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flsim.component import Component
from flsim.scenario.catalogue import Place, parameters_of, summary_of
from flsim.scenario.keys import keys_of


def print_places(places: Iterable[Place], console: Console) -> None:
    """Print every kind with its keys; on what is no terminal, a line each, with tabs between its parts."""
    if not console.is_terminal:
        for place in places:
            for kind, component in place.kinds.items():
                cells = (place.path, kind, summary_of(component), ", ".join(parameters_of(component)))
                click.echo("\t".join(cells))  # for rich would make spaces of tabs
        return
    for place in places:
        console.print(Text(place.path, "bold"))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for kind, component in place.kinds.items():
            table.add_row(kind, Text(summary_of(component)))
            if parameters := parameters_of(component):
                table.add_row("", Text(", ".join(parameters), "dim"))
        console.print(Padding(table, (0, 0, 1, 2)))
    console.print(Text("flsim list PLACE KIND shows one in full.", "dim"))


def print_component(place: str, kind: str, component: type[Component], console: Console) -> None:
    """Print all there is to know of one kind: its documentation, and every key."""
    plain = not console.is_terminal
    console.print(Text(f"{place}: {kind}", "" if plain else "bold"))
    console.print()
    for paragraph in inspect.cleandoc(component.__doc__ or "").split("\n\n"):
        console.print(Text(" ".join(paragraph.split())), soft_wrap=plain)
        console.print()
    keys = keys_of(component)
    if not keys:
        console.print("It has no keys.")
    for key in keys:
        given = "required" if key.default is None else f"default {key.default}"
        line = Text.assemble((key.name, "cyan"), "  ", key.takes, f"; {given}")
        console.print(Padding(line, (0, 0, 0, 2)) if not plain else Text("  ") + line, soft_wrap=plain)
        if key.meaning:
            meaning = Text(key.meaning, "dim")
            console.print(
                Padding(meaning, (0, 0, 0, 6)) if not plain else Text("      ") + meaning, soft_wrap=plain
            )
