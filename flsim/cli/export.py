"""`flsim export`."""

from pathlib import Path

import click

from flsim.cli.group import cli, verbosely
from flsim.errors import EXIT_DONE
from flsim.units import TIME

_FORMATS = ("perfetto", "csv", "parquet", "jsonl", "otlp-json")


class _Seconds(click.ParamType):
    """A virtual time with a unit, as in scenarios."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> float:
        try:
            return TIME.parse(value)
        except ValueError as error:
            self.fail(str(error), param, context)


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
@click.option("--from", "from_s", type=_Seconds(), help="Only what ends then or later, such as 10min.")
@click.option("--to", "until_s", type=_Seconds(), help="Only what begins by then, such as 1h.")
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
