"""`flsim validate`, `describe`, `list` and `schema`: looking at scenarios before anything runs."""

import json
from pathlib import Path

import click
from rich.markup import escape

from flsim.cli.group import Screen, cli, overriding, scenario_file, verbosely
from flsim.errors import EXIT_DONE, nearest
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.catalogue import catalogue, parameters_of, summary_of


@cli.command()
@scenario_file
@overriding
@verbosely
def validate(scenario: Path, overrides: tuple[str, ...], verbose: bool) -> int:
    """Check a scenario without running it."""
    resolved = read_scenario(scenario, overrides)
    click.echo(f"{scenario}: a valid scenario, '{resolved.name}'")
    return EXIT_DONE


@cli.command()
@scenario_file
@overriding
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Draw the fleet, too: .png, .svg, .pdf."
)
@verbosely
def describe(scenario: Path, overrides: tuple[str, ...], out: Path | None, verbose: bool) -> int:
    """Show a scenario's fleet before anything runs: speed, bandwidth, availability over a day."""
    from flsim.describe import describe as describe_scenario
    from flsim.terminal import print_description

    resolved = read_scenario(scenario, overrides)
    described = describe_scenario(resolved)
    print_description(resolved.name, described, Screen())
    if out is not None:
        click.echo(f"Picture: {described.draw(out)}")
    return EXIT_DONE


@cli.command("list")
@click.argument("place", required=False)
@verbosely
def list_components(place: str | None, verbose: bool) -> int:
    """List what a scenario can be made of: every kind of component, with its keys.

    PLACE limits the list to one key, such as strategy or workload.model.
    """
    places = catalogue()
    known = [entry.path for entry in places]
    if place is not None and place not in known:
        raise click.UsageError(f"no place '{place}'; places: {', '.join(known)}{nearest(place, known)}")
    console = Screen(highlight=False)
    for entry in places:
        if place in (None, entry.path):
            console.print(f"[bold]{entry.path}[/]")
            for kind, component in entry.kinds.items():
                console.print(f"  [cyan]{kind}[/]  {escape(summary_of(component))}", soft_wrap=True)
                if parameters := parameters_of(component):
                    console.print(f"      [dim]{escape(', '.join(parameters))}[/]", soft_wrap=True)
    return EXIT_DONE


@cli.command()
def schema() -> int:
    """Print the JSON Schema of scenario files, for editors that complete them."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema()}
    click.echo(json.dumps(document, indent=2))
    return EXIT_DONE
