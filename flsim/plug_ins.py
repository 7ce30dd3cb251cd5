"""Whose fault an error is: the classes of a scenario that flsim did not bring along."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple

from pydantic import BaseModel

from flsim.component import Component
from flsim.errors import FlsimError, RunError


class PlugIn(NamedTuple):
    """A class or function of the user's own, and the key of the scenario that names it."""

    key: str
    path: str

    @property
    def module(self) -> str:
        """The module that it is in."""
        return self.path.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.key} ({self.path})"


@contextmanager
def naming_plug_ins(scenario: BaseModel) -> Iterator[None]:
    """Make an error that a scenario's plug-in raises, or leads to, a RunError that names it.

    Errors that flsim raises on purpose pass as they are, and so does what no plug-in has to do with. A
    plug-in that asks for the end of the program has failed as any other.
    """
    try:
        yield
    except (FlsimError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        found, what = tuple(plug_ins(scenario)), error_text(error)
        if (guilty := raised_by(error, found)) is not None:
            raise RunError(f"{guilty} raised {what}\n-v shows where it happened.") from error
        if not found or isinstance(error, OSError | SystemExit):
            raise
        suspects = ", ".join(map(str, found))
        why = f"{what}\nMost likely it follows from what a plug-in returned: {suspects}; -v shows where."
        raise RunError(why) from error


def plug_ins(section: object, key: str = "") -> Iterator[PlugIn]:
    """Yield the plug-ins that a section, or what it holds, names by their import paths.

    key: where the section is in the scenario.
    """
    if isinstance(section, BaseModel):
        if isinstance(section, Component) and (path := _path(section)) is not None:
            yield PlugIn(key, path)
        for name in type(section).model_fields:
            yield from plug_ins(getattr(section, name), f"{key}.{name}" if key else name)
    elif isinstance(section, Mapping):
        for name, item in section.items():
            yield from plug_ins(item, f"{key}.{name}")
    elif isinstance(section, tuple):
        for place, item in enumerate(section):
            yield from plug_ins(item, f"{key}[{place}]")


def raised_by(error: BaseException, among: tuple[PlugIn, ...]) -> PlugIn | None:
    """Return the plug-in whose module an error came out of, if it did: the innermost, of several.

    An error that another one led to came out of where that one did.
    """
    own = {plug_in.module: plug_in for plug_in in reversed(among)}  # the first one, of several in a module
    at: BaseException | None = error
    while own and at is not None:
        for module in reversed(list(_modules(at.__traceback__))):
            if module in own:
                return own[module]
        at = at.__cause__
    return None


def error_text(error: BaseException) -> str:
    """Return an error's type and message on one line.

    >>> error_text(KeyError("lost"))
    "KeyError: 'lost'"
    >>> error_text(MemoryError())
    'MemoryError'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _path(component: Component) -> str | None:
    """Return the import path of a component's own code: its class, or what its key `path` names."""
    cls = type(component)
    if cls.__module__.partition(".")[0] != __name__.partition(".")[0]:
        return f"{cls.__module__}:{cls.__qualname__}"
    named = getattr(component, "path", None)
    return named if component.kind == "module" and isinstance(named, str) else None


def _modules(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
