"""`flsim completion`, and what the scripts that it prints call while somebody types."""

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from flsim.cli.group import cli
from flsim.errors import EXIT_DONE, EXIT_ERROR

PROGRAM = "flsim"
VARIABLE = "_FLSIM_COMPLETE"


class Bash(BashComplete):
    """Bash takes `=` for the end of a word, and puts a space behind whatever is the only way on."""

    source_template = BashComplete.source_template.replace(
        "    return 0",
        '    [[ "${COMPREPLY[0]}" == *[./=] ]] && compopt -o nospace\n    return 0',
        1,
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        before, last = _joined(split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"]))
        return before[1:], last

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = super().get_completions(args, incomplete)
        skipped = incomplete.rfind("=") + 1  # what stands before the word that Bash sees
        for item in found:
            item.value = item.value[skipped:]
        return found


def _joined(words: list[str], place: int) -> tuple[list[str], str]:
    """Return the words before the cursor and the one under it, with what stands around a `=` in one piece.

    >>> _joined(["flsim", "run", "a.yaml", "--set", "strategy.kind", "=", "fe"], 6)
    (['flsim', 'run', 'a.yaml', '--set'], 'strategy.kind=fe')
    """
    joined: list[str] = []
    goes_on = False
    for word in [*words, ""][: place + 1]:
        if joined and len(joined) > 1 and (goes_on or word == "="):
            joined[-1] += word
        else:
            joined.append(word)
        goes_on = word == "="
    return joined[:-1], joined[-1]


_SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}


def complete(instruction: str) -> int:
    """Print what a shell asks for, such as "bash_complete", and return the exit code."""
    shell, _, what = instruction.partition("_")
    if shell not in _SHELLS or what not in ("source", "complete"):
        return EXIT_ERROR
    found = _SHELLS[shell](cli, {}, PROGRAM, VARIABLE)
    click.echo(found.source() if what == "source" else found.complete())
    return EXIT_DONE


@cli.command(
    examples=[
        'eval "$(flsim completion bash)"   # in ~/.bashrc',
        'eval "$(flsim completion zsh)"    # in ~/.zshrc, after compinit',
        "flsim completion fish > ~/.config/fish/completions/flsim.fish",
    ]
)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def completion(shell: str) -> int:
    """Print a script that completes commands, options, files and scenario keys in a shell."""
    click.echo(_SHELLS[shell](cli, {}, PROGRAM, VARIABLE).source())
    return EXIT_DONE
