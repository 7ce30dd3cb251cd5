"""`flsim compare` and `flsim report`: looking at what runs have written."""

from pathlib import Path

import click

from flsim.cli.completing import run_folders
from flsim.cli.group import Screen, cli, verbosely
from flsim.errors import EXIT_DONE


@cli.command(
    examples=[
        "flsim compare outputs/sync outputs/fedbuff",
        "flsim compare outputs/quickstart --target 0.9 --html comparison.html",
        "flsim compare outputs/* --format csv > comparison.csv",
    ]
)
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    metavar="FOLDER...",
    type=click.Path(path_type=Path),
    shell_complete=run_folders,
)
@click.option(
    "--target", type=float, help="The accuracy to reach; by default the highest that all runs do."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv"]),
    default="table",
    help="How to print it; csv has every digit.",
)
@click.option(
    "--html",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Write it as a page, too: table, curves over seeds, intervals; one file that opens offline.",
)
@verbosely
def compare(
    runs: tuple[Path, ...], target: float | None, form: str, html: Path | None, verbose: bool
) -> int:
    """Compare methods over seeds: time, updates and bytes to an accuracy.

    Folders are of runs or sweeps. Methods are what the scenarios differ in besides their seeds.
    """
    from flsim.observe import comparison, comparison_table
    from flsim.observe.report import write_comparison
    from flsim.terminal import print_comparison

    read = [comparison.read_run(folder) for path in runs for folder in comparison.folders_of(path)]
    compared = comparison.compare(read, target)
    if form == "table":
        print_comparison(compared, Screen(highlight=False))
    else:
        write = comparison_table.markdown if form == "markdown" else comparison_table.as_csv
        click.echo(write(compared), nl=False)
    if html is not None:
        # What other programs read stays alone on standard output.
        click.echo(f"Page: {write_comparison(html, read, target)}", err=form != "table")
    return EXIT_DONE


@cli.command(examples=["flsim report outputs/quickstart", "flsim report outputs/quickstart --out it.html"])
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path), shell_complete=run_folders)
@click.option(
    "--out",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Write it there instead of DIR/report.html.",
)
@verbosely
def report(folder: Path, out: Path | None, verbose: bool) -> int:
    """Draw up the report of a run from its records: one HTML file that opens without a network."""
    from flsim.observe.report import write_report

    click.echo(f"Report: {write_report(folder, out)}")
    return EXIT_DONE
