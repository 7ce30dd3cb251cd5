"""`flsim flower`."""

import json
from pathlib import Path

import click

from flsim.cli.group import Screen, cli, overriding, verbosely
from flsim.errors import EXIT_DONE, EXIT_INTERRUPTED
from flsim.flower.workers import start_ahead
from flsim.interpreter import importing
from flsim.scenario.app_in_world import read_app_in_world


@cli.command(
    examples=[
        "flsim flower my-app --world phones.yaml",
        'flsim flower my-app --world phones.yaml --run-config "num-server-rounds=5"',
        "flsim flower my-app --world phones.yaml --set fleet.clients=1000",
    ]
)
@click.argument("app", type=click.Path(path_type=Path))
@click.option(
    "--world",
    type=click.Path(path_type=Path),
    required=True,
    help="A scenario file without workload and strategy: the fleet and the network.",
)
@click.option(
    "--run-config", metavar="TEXT", default="", help="Entries of the app's run config: key=value."
)
@overriding
@click.option("--out", metavar="DIR", help="Write into DIR/<name>/ instead of the world's output.dir.")
@click.option("-q", "--quiet", is_flag=True, help="Print one line at the end.")
@verbosely
def flower(
    app: Path,
    world: Path,
    run_config: str,
    overrides: tuple[str, ...],
    out: str | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run a Flower app as it is, over a simulated network, in virtual time.

    APP is its folder, with a pyproject.toml; the fleet's clients are its nodes. The folder of results is
    <output.dir>/<name>/, as that of any run.
    """
    if out is not None:
        overrides = (*overrides, f"output.dir={json.dumps(out)}")
    scenario = read_app_in_world(app, world, run_config, overrides)
    start_ahead(scenario)  # before this process imports anything else that takes long
    with importing():
        from flsim.running import run as run_scenario
        from flsim.terminal import Watcher, print_result
    console = Screen()
    watcher = Watcher(scenario, console, quiet)
    with watcher.watching():
        result = run_scenario(scenario, watch=watcher)
    print_result(result, console, quiet)
    return EXIT_INTERRUPTED if result.interrupted else EXIT_DONE
