"""`flsim ui`: a run in the browser, while it goes on and afterwards."""

import sys
import webbrowser
from pathlib import Path

import click

from flsim.cli.group import Screen, cli, verbosely
from flsim.errors import EXIT_DONE


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="By default one that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@verbosely
def ui(folder: Path, port: int, no_browser: bool, verbose: bool) -> int:
    """Show a run in the browser, while it goes on and afterwards, on this machine only.

    Ctrl-C ends it.
    """
    from flsim.observe.live.server import LiveServer

    with LiveServer(folder, port) as server:
        Screen(highlight=False).print(f"{folder} is shown at {server.url} until Ctrl-C", soft_wrap=True)
        sys.stdout.flush()
        if sys.stdout.isatty() and not no_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the only way to end it, so nothing was cut off
            return EXIT_DONE
    return EXIT_DONE
