"""`flsim validate`, `describe`, `list` and `schema`: looking at scenarios before anything runs."""

import json
from pathlib import Path

import click

from flsim.cli.completing import kinds, places
from flsim.cli.group import Screen, cli, overriding, scenario_file, verbosely
from flsim.errors import EXIT_DONE, nearest


@cli.command(examples=["flsim validate scenarios/quickstart.yaml --set strategy.cohort=20"])
@scenario_file
@overriding
@verbosely
def validate(scenario: Path, overrides: tuple[str, ...], verbose: bool) -> int:
    """Check a scenario without running it."""
    from flsim.scenario import read_scenario

    resolved = read_scenario(scenario, overrides)
    click.echo(f"{scenario}: a valid scenario, '{resolved.name}'")
    return EXIT_DONE


@cli.command(examples=["flsim describe scenarios/quickstart.yaml --out fleet.png"])
@scenario_file
@overriding
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Draw the fleet, too: .png, .svg, .pdf."
)
@verbosely
def describe(scenario: Path, overrides: tuple[str, ...], out: Path | None, verbose: bool) -> int:
    """Show a scenario's fleet before anything runs: speed, bandwidth, availability over a day."""
    from flsim.describe import describe as describe_scenario
    from flsim.scenario import read_scenario
    from flsim.terminal import print_description

    resolved = read_scenario(scenario, overrides)
    described = describe_scenario(resolved)
    print_description(resolved.name, described, Screen())
    if out is not None:
        click.echo(f"Picture: {described.draw(out)}")
    return EXIT_DONE


@cli.command(
    "list",
    examples=[
        "flsim list",
        "flsim list strategy",
        "flsim list strategy fedbuff",
        "flsim list | grep -i staleness   # a line for each component",
    ],
)
@click.argument("place", required=False, shell_complete=places)
@click.argument("kind", required=False, shell_complete=kinds)
@verbosely
def list_components(place: str | None, kind: str | None, verbose: bool) -> int:
    """List what a scenario can be made of: every kind of component, with its keys.

    PLACE limits the list to one key, such as strategy or workload.model. With a KIND, that component is
    shown in full: what it does, and what each of its keys takes and means.
    """
    from flsim.cli.listing import print_component, print_places
    from flsim.scenario.catalogue import catalogue

    known = {entry.path: entry for entry in catalogue()}
    console = Screen(highlight=False)
    if place is None:
        print_places(known.values(), console)
        return EXIT_DONE
    if place not in known:
        raise click.UsageError(f"no place '{place}'; places: {', '.join(known)}{nearest(place, known)}")
    components = known[place].kinds
    if kind is None:
        print_places([known[place]], console)
    elif kind in components:
        print_component(place, kind, components[kind], console)
    else:
        hint = nearest(kind, components)
        raise click.UsageError(f"{place} has no kind '{kind}'; kinds: {', '.join(components)}{hint}")
    return EXIT_DONE


@cli.command(examples=["flsim schema > scenario.schema.json"])
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown"]),
    default="json",
    help="json: for editors; markdown: every key with its default and its meaning, to read.",
)
def schema(form: str) -> int:
    """Print the JSON Schema of scenario files, for editors that complete them."""
    if form == "markdown":
        from flsim.terminal.reference import reference

        click.echo(reference())
        return EXIT_DONE
    from flsim.scenario import Scenario

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema()}
    click.echo(json.dumps(document, indent=2))
    return EXIT_DONE
