"""`flsim track`: a finished run, given to trackers."""

from pathlib import Path

import click

from flsim.cli.group import cli, verbosely
from flsim.errors import EXIT_DONE, EXIT_ERROR
from flsim.scenario.tracking import TRACKERS


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--with",
    "kinds",
    multiple=True,
    type=click.Choice(list(TRACKERS.classes)),
    help="To which one. Can be repeated; by default those of the scenario.",
)
@verbosely
def track(folder: Path, kinds: tuple[str, ...], verbose: bool) -> int:
    """Give the metrics of a finished run to trackers, from its records, as if it had been tracked."""
    from flsim.observe.trackers import track as track_run
    from flsim.observe.trackers import trackers_of

    trackers = trackers_of(folder, kinds)
    if not trackers:
        raise click.UsageError(f"the scenario of {folder} names no tracker: say --with")
    outcomes = track_run(folder, trackers)
    for kind, outcome in outcomes.items():
        click.echo(f"{kind}: {outcome}")
    return EXIT_DONE if set(outcomes.values()) == {"written"} else EXIT_ERROR
