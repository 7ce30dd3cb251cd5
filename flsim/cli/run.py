"""`flsim run`."""

import json
from pathlib import Path

import click

from flsim.cli.group import Screen, cli, overriding, scenario_file, track_with, verbosely
from flsim.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED


@cli.command(
    examples=[
        "flsim run scenarios/quickstart.yaml",
        "flsim run scenarios/quickstart.yaml --set strategy.cohort=20 --out elsewhere",
        "flsim run scenarios/quickstart.yaml --timing-only --quiet",
    ]
)
@scenario_file
@overriding
@click.option("--out", metavar="DIR", help="Write into DIR/<name>/ instead of the scenario's output.dir.")
@track_with
@click.option("--timing-only", is_flag=True, help="Keep the timeline, but train nothing.")
@click.option(
    "--check-determinism",
    is_flag=True,
    help="Run it twice where everything around it differs, and name the first record that does.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print one line at the end.")
@verbosely
def run(
    scenario: Path,
    overrides: tuple[str, ...],
    out: str | None,
    trackers: tuple[str, ...],
    timing_only: bool,
    check_determinism: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run a scenario and write its records and pictures into a folder.

    The folder is <output.dir>/<name>/. An interrupt (^C) ends the run in order; a second one at once.
    """
    from flsim.running import run as run_scenario
    from flsim.scenario import read_scenario
    from flsim.scenario.tracking import with_kinds
    from flsim.terminal import Watcher, print_result

    if out is not None:
        overrides = (*overrides, f"output.dir={json.dumps(out)}")
    if check_determinism:
        return _twice(scenario, overrides, timing_only)
    resolved = read_scenario(scenario, overrides)
    resolved = resolved.model_copy(update={"tracking": with_kinds(resolved.tracking, trackers)})
    console = Screen()
    watcher = Watcher(resolved, console, quiet)
    with watcher.watching():
        result = run_scenario(resolved, timing_only=timing_only, watch=watcher)
    print_result(result, console, quiet)
    return EXIT_INTERRUPTED if result.interrupted else EXIT_DONE


def _twice(scenario: Path, overrides: tuple[str, ...], timing_only: bool) -> int:
    """Run a scenario twice and tell whether both runs say the same."""
    from flsim.determinism import check_determinism
    from flsim.terminal.governance import print_differences

    console = Screen(highlight=False)
    compared = check_determinism(scenario, overrides, timing_only=timing_only)
    if compared.differences:
        print_differences(compared, "NOT DETERMINISTIC", console)
        return EXIT_ERROR
    console.print(f"[bold green]DETERMINISTIC[/] {len(compared.same)} files are the same", soft_wrap=True)
    return EXIT_DONE
