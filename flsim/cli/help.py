"""How help looks: commands in sections with a whole sentence each, examples, colours on a terminal only."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import click

SECTIONS = {
    "Run": ("run", "resume", "sweep", "search"),
    "Before anything runs": ("validate", "describe", "list", "schema"),
    "Results": ("compare", "report", "plot", "export", "ui", "track"),
    "Account": ("verify", "replay", "lineage", "rollback", "sign", "keygen"),
}
OTHERS = "More"  # where a command stands that no section names

_WHOLE = 10_000  # characters of a sentence, so that none is cut off


def colour() -> bool | None:
    """Whether help has colours: as NO_COLOR, FORCE_COLOR and TERM say; None: if it goes to a terminal."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


class Formatter(click.HelpFormatter):
    """Headings in bold, and what can be typed in colour. What is not for a terminal loses both again."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, click.style("Usage: ", bold=True) if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{click.style(f'{heading}:', bold=True)}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        coloured = [(click.style(term, fg="cyan"), meaning) for term, meaning in rows]
        super().write_dl(coloured, col_max, col_spacing)


class Context(click.Context):
    """What a command is called with; its help is written by the Formatter."""

    formatter_class = Formatter


class Command(click.Command):
    """A command with examples, which its help shows as they are typed."""

    context_class = Context

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


class Group(click.Group):
    """Commands below one word."""

    context_class = Context
    command_class = Command
    group_class = type

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = {name: self.commands[name] for name in self.commands if not self.commands[name].hidden}
        width = max(map(len, shown), default=0)  # the same in all sections
        for section, names in self.sections(shown).items():
            with formatter.section(section):
                rows = [(name.ljust(width), shown[name].get_short_help_str(_WHOLE)) for name in names]
                formatter.write_dl(rows)

    def sections(self, commands: Iterable[str]) -> dict[str, list[str]]:
        """Return the commands by section, in alphabetical order."""
        return {"Commands": sorted(commands)}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


def in_sections(commands: Iterable[str]) -> dict[str, list[str]]:
    """Return commands by section: those of SECTIONS in its order, and all others under OTHERS.

    >>> in_sections(["zap", "sweep", "run"])
    {'Run': ['run', 'sweep'], 'More': ['zap']}
    """
    left = set(commands)
    found = {section: [name for name in names if name in left] for section, names in SECTIONS.items()}
    found[OTHERS] = sorted(left.difference(*SECTIONS.values()))
    return {section: names for section, names in found.items() if names}


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write lines that can be typed, each as it is."""
    if examples:
        with formatter.section("Examples"):
            for line in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
