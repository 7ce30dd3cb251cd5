"""`flsim export`."""

from pathlib import Path

import click

from flsim.cli.group import cli, verbosely
from flsim.errors import EXIT_DONE
from flsim.units import TIME

_FORMATS = ("perfetto", "csv", "parquet", "jsonl", "otlp-json")


def _seconds(context: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return a virtual time, given with a unit as in scenarios."""
    try:
        return None if value is None else TIME.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", required=True, type=click.Choice(_FORMATS), help="What to write.")
@click.option(
    "--out",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The file (perfetto, otlp-json) or the folder (csv, parquet, jsonl) to write, "
    "instead of one below DIR/export/.",
)
@click.option(
    "--clients", metavar="IDS", help="Only these clients, such as 0-9,17; for perfetto and otlp-json."
)
@click.option(
    "--from",
    "from_s",
    metavar="TIME",
    callback=_seconds,
    help="Only what ends then or later, such as 10min.",
)
@click.option(
    "--to", "until_s", metavar="TIME", callback=_seconds, help="Only what begins by then, such as 1h."
)
@verbosely
def export(
    folder: Path,
    form: str,
    out: Path | None,
    clients: str | None,
    from_s: float | None,
    until_s: float | None,
    verbose: bool,
) -> int:
    """Write a run in the format of another tool, from its records alone."""
    from flsim.observe.excerpt import Excerpt
    from flsim.observe.export import export as export_run

    try:
        part = Excerpt.of(clients, from_s, until_s)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"Export: {export_run(folder, form, out, part)}")
    return EXIT_DONE
