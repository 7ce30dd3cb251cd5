"""What commands have in common: the group they are in, the screen, and options that several take."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from flsim.cli.completing import overrides, scenario_files
from flsim.cli.help import Group, in_sections
from flsim.errors import nearest
from flsim.scenario.tracking import TRACKERS


class Screen(Console):
    """Standard output. When its reader has gone, it falls silent and a run goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence()


def silence() -> None:
    """Send the rest of the output nowhere, so that Python does not complain about a pipe at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class DefaultToRun(Group):
    """A group in which `flsim FILE` means `flsim run FILE`."""

    def sections(self, commands: Iterable[str]) -> dict[str, list[str]]:
        return in_sections(commands)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            found += scenario_files(ctx, self.params[0], incomplete)
        return found

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        known = set(self.commands) | {"-h", "--help", "--version"}
        if args and args[0] not in known and (_names_a_file(args) or args[0].startswith("-")):
            args = ["run", *args]
        return super().parse_args(context, args)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not context.resilient_parsing:
            hint = nearest(args[0], self.commands)
            context.fail(f"no command or scenario file '{args[0]}'{hint}")
        return super().resolve_command(context, args)


def _names_a_file(args: Sequence[str]) -> bool:
    first = args[0]
    return os.sep in first or first.endswith((".yaml", ".yml")) or os.path.lexists(first)


scenario_file = click.argument(
    "scenario",
    metavar="SCENARIO.yaml",
    type=click.Path(path_type=Path),
    shell_complete=scenario_files,
)
overriding = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=overrides,
    help="Change one key of the scenario, such as strategy.cohort=20. Can be repeated.",
)
track_with = click.option(
    "--track",
    "trackers",
    multiple=True,
    type=click.Choice(list(TRACKERS.classes)),
    help="Give the metrics to a tracker, too. Can be repeated.",
)
verbosely = click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")


@click.group(
    cls=DefaultToRun,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "flsim scenarios/quickstart.yaml                  # run a scenario",
        "flsim scenarios/quickstart.yaml --set seed=7     # with a key changed",
        "flsim list strategy                              # what can be chosen there",
        "flsim run --help                                 # all about a command",
    ],
)
@click.version_option(package_name="flsim-des", prog_name="flsim")
def cli() -> None:
    """Simulate federated learning in virtual time: flsim SCENARIO.yaml"""
