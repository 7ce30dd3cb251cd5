"""Whose fault an error is: the classes of a scenario that flsim did not bring along."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType
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
            plug_in, raised = guilty
            raise RunError(f"{plug_in} raised {error_text(raised)}\n-v shows where it happened.") from error
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


def raised_by(error: BaseException, among: tuple[PlugIn, ...]) -> tuple[PlugIn, BaseException] | None:
    """Return the plug-in whose module an error came out of, if it did, and what it raised there.

    That is the error, or one that led to it. Of several plug-ins in one module it is the one whose method
    it was, or that was given, innermost first; or the first of them.
    """
    at: BaseException | None = error
    while at is not None:
        frames = [frame for frame, _ in walk_tb(at.__traceback__)][::-1]
        here = [(frame, plug_in) for frame in frames for plug_in in among if _is_in(frame, plug_in)]
        if here:
            known = [plug_in for frame, plug_in in here if _is_at_work(frame, plug_in)]
            return (known or [plug_in for _, plug_in in here])[0], at
        at = at.__cause__
    return None


def _is_in(frame: FrameType, plug_in: PlugIn) -> bool:
    """Return whether a call is one of a function in the plug-in's module."""
    return bool(frame.f_globals.get("__name__") == plug_in.module)


def _is_at_work(frame: FrameType, plug_in: PlugIn) -> bool:
    """Return whether a call knows the plug-in, as its method, or as a function that is given it."""
    values = map(type, frame.f_locals.values())
    return any(f"{cls.__module__}:{cls.__qualname__}" == plug_in.path for cls in values)


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
