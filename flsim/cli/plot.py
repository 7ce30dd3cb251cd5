"""`flsim plot`: the pictures of runs, drawn again from their records."""

from pathlib import Path

import click

from flsim.cli.group import cli, verbosely
from flsim.errors import EXIT_DONE, nearest


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="png, svg or pdf; several with commas, or repeated. Without it, png.",
)
@click.option("--only", metavar="NAMES", help="Draw these pictures only, such as accuracy,timeline.")
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write there instead of DIR/plots; of several runs, into a folder for each.",
)
@verbosely
def plot(
    runs: tuple[Path, ...], formats: tuple[str, ...], only: str | None, out: Path | None, verbose: bool
) -> int:
    """Draw the pictures of runs from their records: as PNG, or as SVG and PDF for a paper."""
    from flsim.observe.canvas import FORMATS
    from flsim.observe.plots import PICTURES, write_plots
    from flsim.observe.tables import read_tables

    wanted = _chosen(",".join(formats) or FORMATS[0], FORMATS, "format")
    names = None if only is None else _chosen(only, tuple(PICTURES), "picture")
    for run, folder in zip(runs, _folders(runs, out), strict=True):
        written = write_plots(folder, read_tables(run), wanted, names)
        for path in written:
            click.echo(f"Picture: {path}")
        drawn = {path.stem for path in written}
        for name in names or ():
            if name not in drawn:
                click.echo(f"{run}: the picture '{name}' would be empty")
        if not written and names is None:
            click.echo(f"{run}: there is nothing to draw")
    return EXIT_DONE


def _chosen(given: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return the names between the commas, each once. Raises UsageError if there is another."""
    names = tuple(dict.fromkeys(name.strip() for name in given.split(",")))
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            raise click.UsageError(f"no {what} '{name}'; {what}s: {', '.join(known)}{hint}")
    return names


def _folders(runs: tuple[Path, ...], out: Path | None) -> list[Path]:
    """Return where the pictures of each run go. Raises UsageError if two would go to one place."""
    from flsim.observe.folder import below

    if out is None:
        return [below(run, "plots") for run in runs]
    if len(runs) == 1:
        return [out]
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise click.UsageError(f"--out: two runs are named '{twice}'; draw them one at a time")
    return [out / name for name in names]
