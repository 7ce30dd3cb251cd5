"""The command line: thin commands over the use cases. Each module adds its commands to the group."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click
from rich.console import Console
from rich.markup import escape

from flsim.cli import (  # noqa: F401 - they add their commands
    completion,
    data,
    export,
    flower,
    governance,
    plot,
    results,
    resume,
    run,
    scenarios,
    search,
    sweep,
    track,
    ui,
)
from flsim.cli.group import cli, silence
from flsim.cli.help import colour
from flsim.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_USAGE, FlsimError

__all__ = ["cli", "exit_code", "main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    sys.exit(exit_code(args))


def exit_code(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Errors are messages, not tracebacks."""
    given = list(sys.argv[1:] if args is None else args)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a narrow encoding is no reason to fail
    if instruction := os.environ.get(completion.VARIABLE):
        return completion.complete(instruction)
    return _exit_code(given)


def _exit_code(args: list[str]) -> int:
    try:
        # Not cli.main, which takes a reader that has gone for an error.
        with cli.make_context("flsim", args or ["--help"], color=colour()) as context:
            code = cli.invoke(context)
        if sys.stdout is not None:  # so it is when somebody closed it
            sys.stdout.flush()
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code
    except click.ClickException as error:
        return _misused(error)
    except FlsimError as error:
        return _fail(str(error), args)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", args, EXIT_INTERRUPTED)
    except BrokenPipeError:
        silence()
        return EXIT_DONE
    except OSError as error:
        return _fail(str(error), args)
    except Exception as error:
        if _is_out_of_memory(error):
            return _fail(f"out of memory: {_first_line(error)}", args)
        why = f"{type(error).__name__}: {error}"
        return _fail(f"{why}\nThis is a defect; -v shows where it happened.", args)
    return code if isinstance(code, int) else EXIT_DONE


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory was refused: by Python, numpy or Arrow, or by torch in its own way."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in str(error)
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or "the run needs more than there is"


def _fail(message: str, args: list[str], code: int = EXIT_ERROR) -> int:
    if "-v" in args or "--verbose" in args:
        traceback.print_exc()
    _say(message)
    return code


def _misused(error: click.ClickException) -> int:
    """Say what is wrong with a command line, and how it is written."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if context is not None:
        usage = " ".join(click.unstyle(context.get_usage()).split())
        message = f"{message}\n{usage}\nHelp: {context.command_path} --help"
    _say(message)
    return EXIT_USAGE


def _say(message: str) -> None:
    """Print an error: the word in red, if it goes to a terminal that has colours."""
    Console(stderr=True, highlight=False).print("[bold red]error:[/] " + escape(message), soft_wrap=True)
