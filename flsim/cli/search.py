"""`flsim search`."""

from pathlib import Path

import click

from flsim.cli.completing import overrides as keys
from flsim.cli.group import Screen, cli, overriding, scenario_file, verbosely
from flsim.errors import EXIT_DONE


@cli.command(
    examples=[
        "flsim search scenarios/quickstart.yaml strategy.cohort=2..20 --trials 30",
        "flsim search scenarios/quickstart.yaml strategy.cohort=2..20 \\",
        "    workload.training.optimizer.lr=log:1e-3..1 --objective final_loss",
    ]
)
@scenario_file
@overriding
@click.argument("varied", nargs=-1, metavar="[KEY=RANGE]...", shell_complete=keys)
@click.option(
    "--space",
    metavar="FILE.yaml",
    type=click.Path(path_type=Path),
    help="Take keys and what may be tried from a file.",
)
@click.option(
    "--objective",
    default="final_accuracy",
    show_default=True,
    metavar="NAME[=ACCURACY]",
    help="What to be best at: final_accuracy, best_accuracy, final_loss, virtual_time, or, until an "
    "accuracy, time_to_accuracy=0.9, updates_to_accuracy=0.9, bytes_to_accuracy=0.9.",
)
@click.option(
    "--trials",
    default=30,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="How many to try.",
)
@click.option("--seeds", metavar="0..4", help="Average over these seeds; by default the scenario's own.")
@click.option(
    "--batch",
    default=1,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="Trials that go side by side and do not learn from each other.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    metavar="N",
    type=click.IntRange(0, 2**32 - 1),
    help="The search's.",
)
@click.option("--out", metavar="DIR", help="Write below DIR/<name>/ instead of the scenario's output.dir.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="Runs at a time; by default one for each core.",
)
@click.option("--fresh", is_flag=True, help="Run everything again, also what an earlier search finished.")
@verbosely
def search(
    scenario: Path,
    overrides: tuple[str, ...],
    varied: tuple[str, ...],
    space: Path | None,
    objective: str,
    trials: int,
    seeds: str | None,
    batch: int,
    seed: int,
    out: str | None,
    workers: int | None,
    fresh: bool,
    verbose: bool,
) -> int:
    """Search for the best values of some keys, such as strategy.cohort=2..20 lr=log:1e-3..1.

    A range is of whole numbers if both its ends are; log: tries numbers evenly by ratio; values stand
    side by side: strategy.kind=fedasync,fedbuff. What to try next is Optuna's to say (extra search). The
    same command again goes on where it was.
    """
    from flsim.sweeping import Plan, objective_of, read_space, seeds_of, space_of
    from flsim.sweeping import search as search_space
    from flsim.terminal import SearchWatcher, print_search

    if bool(varied) == (space is not None):
        raise click.UsageError("say what may be tried: KEY=RANGE… or --space FILE.yaml, one of the two")
    tried = space_of(varied) if space is None else read_space(space)
    wanted = objective_of(objective)
    plan = Plan(trials, batch, seed, () if seeds is None else seeds_of(seeds))
    console = Screen(highlight=False)
    with SearchWatcher(console, wanted, trials) as watcher:
        found = search_space(
            scenario, tried, wanted, plan, overrides, out=out, workers=workers, fresh=fresh, watch=watcher
        )
    print_search(found, console)
    console.print(f"Files: {found.folder}", soft_wrap=True, markup=False)
    console.print(f"Best: {found.scenario}", soft_wrap=True, markup=False)
    return EXIT_DONE
