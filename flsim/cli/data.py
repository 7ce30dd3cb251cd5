"""`flsim data`: data in the likeness of published files."""

from pathlib import Path

import click

from flsim.cli.group import cli, verbosely
from flsim.cli.help import Group
from flsim.errors import EXIT_DONE


@cli.group(cls=Group)
def data() -> None:
    """Write data in the likeness of published files, where these cannot be had."""


@data.command("paysim", examples=["flsim data paysim --rows 5000 --out payments.csv"])
@click.option("--rows", required=True, metavar="N", type=click.IntRange(min=1), help="How many payments.")
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Ends in .csv or .parquet.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    metavar="N",
    type=click.IntRange(0, 2**63 - 1),
    help="Of the draws.",
)
@verbosely
def data_paysim(rows: int, out: Path, seed: int, verbose: bool) -> int:
    """Write made-up payments, 0.13 % of them fraud, with the columns of PaySim's published file."""
    from flsim import paysim

    if out.suffix not in paysim.SUFFIXES:
        raise click.UsageError(f"--out: '{out}' must end in {' or '.join(paysim.SUFFIXES)}")
    paysim.write(out, rows, seed)
    click.echo(f"{out}: {rows:,} payments")
    return EXIT_DONE
