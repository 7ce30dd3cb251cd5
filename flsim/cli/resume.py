"""`flsim resume`."""

from pathlib import Path

import click

from flsim.cli.group import Screen, cli, verbosely
from flsim.errors import EXIT_DONE, EXIT_INTERRUPTED


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-q", "--quiet", is_flag=True, help="Print one line at the end.")
@verbosely
def resume(folder: Path, quiet: bool, verbose: bool) -> int:
    """Go on with a run that was killed or interrupted, to the same end."""
    from flsim.resuming import resume as resume_run
    from flsim.resuming import scenario_in
    from flsim.terminal import Watcher, print_result

    console = Screen()
    watcher = Watcher(scenario_in(folder), console, quiet)
    with watcher.watching():
        result = resume_run(folder, watch=watcher)
    print_result(result, console, quiet)
    return EXIT_INTERRUPTED if result.interrupted else EXIT_DONE
