"""`flsim sweep`."""

from pathlib import Path

import click

from flsim.cli.completing import overrides as keys
from flsim.cli.group import Screen, cli, overriding, scenario_file, verbosely
from flsim.errors import EXIT_DONE, EXIT_ERROR


@cli.command(
    examples=[
        "flsim sweep scenarios/quickstart.yaml seed=0..4 strategy.cohort=5,10",
        "flsim sweep scenarios/quickstart.yaml seed=0..4 \\",
        "    'strategy={kind: sync},{kind: fedasync}' --heatmap strategy,seed",
        "flsim sweep scenarios/quickstart.yaml --grid grid.yaml --workers 4",
    ]
)
@scenario_file
@overriding
@click.argument("varied", nargs=-1, metavar="[KEY=V1,V2,…]...", shell_complete=keys)
@click.option(
    "--grid",
    metavar="FILE.yaml",
    type=click.Path(path_type=Path),
    help="Take keys and their values from a file.",
)
@click.option("--out", metavar="DIR", help="Write below DIR/<name>/ instead of the scenario's output.dir.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="Runs at a time; by default one for each core.",
)
@click.option(
    "--ray",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Run on a Ray cluster.",
)
@click.option("--fresh", is_flag=True, help="Run everything again, also what an earlier sweep finished.")
@click.option(
    "--heatmap", metavar="KEY,KEY", help="Draw the final accuracy over two varied keys: rows, columns."
)
@verbosely
def sweep(
    scenario: Path,
    overrides: tuple[str, ...],
    varied: tuple[str, ...],
    grid: Path | None,
    out: str | None,
    workers: int | None,
    ray: str | None,
    fresh: bool,
    heatmap: str | None,
    verbose: bool,
) -> int:
    """Run a scenario in every combination of some keys' values, such as seed=0..4 strategy.cohort=5,10.

    Runs that an earlier sweep of the same scenario finished are not run again.
    """
    from flsim.observe.heatmap import write_heatmap
    from flsim.sweeping import compared, grid_of, heatmap_keys, read_grids
    from flsim.sweeping import sweep as sweep_scenario
    from flsim.terminal import SweepWatcher, print_comparison, print_sweep

    if bool(varied) == (grid is not None):
        raise click.UsageError("say what varies: KEY=V1,V2,… or --grid FILE.yaml, one of the two")
    grids = [grid_of(varied)] if grid is None else read_grids(grid)
    axes = None if heatmap is None else heatmap_keys(heatmap, grids)
    console = Screen(highlight=False)
    with SweepWatcher(console) as watcher:
        folder, outcomes = sweep_scenario(
            scenario, grids, overrides, out=out, workers=workers, ray=ray, fresh=fresh, watch=watcher
        )
    if (comparison := compared(folder, outcomes)) is not None:
        print_comparison(comparison, console)
    else:
        print_sweep(outcomes, console)
    console.print(f"Files: {folder}", soft_wrap=True, markup=False)
    if comparison is not None:
        console.print(f"Page: {folder / 'comparison.html'}", soft_wrap=True, markup=False)
    if axes is not None and (picture := write_heatmap(folder / "sweep.csv", *axes)) is not None:
        console.print(f"Picture: {picture}", soft_wrap=True, markup=False)
    return EXIT_ERROR if any(outcome.error for outcome in outcomes) else EXIT_DONE
