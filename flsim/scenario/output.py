"""`output`: where the results go, and which there are."""

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WrapValidator
from pydantic.functional_validators import ModelWrapValidatorHandler

from flsim.component import Section, misfit

Format = Literal["png", "svg", "pdf"]


class Pictures(Section):
    """The pictures of a run.

    `formats`: in which each of them is written.
    """

    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("png",)


def _pictures_or_not(value: Any, handler: ModelWrapValidatorHandler[bool | Pictures]) -> bool | Pictures:
    """Accept true, false and a mapping, and say so where it is neither."""
    if isinstance(value, bool | Pictures):
        return value
    if not isinstance(value, dict):
        raise misfit((), value, "must be true or false, or a mapping such as {formats: [png, svg]}")
    return Pictures.model_validate(value)


def _plain_path(path: str) -> str:
    """Refuse what leads out of where it seems to be: '..' hides in the middle of a long path."""
    if "\0" in path or ".." in PurePath(path).parts:
        raise misfit((), path, "must be a path without '..' and NUL characters; --out takes any folder")
    return path


class Output(Section):
    """The folder that holds a folder for each scenario name.

    `dir`: that folder. `plots`: whether pictures are drawn. `timeline`: whether timeline.json.gz is
    written, for Perfetto. `absences`: whether it is recorded when clients were away.
    `model`: whether the last version is left as model.pt and model.safetensors. `report`: whether
    report.html is written.
    """

    dir: Annotated[str, AfterValidator(_plain_path)] = "outputs"
    plots: Annotated[bool | Pictures, WrapValidator(_pictures_or_not)] = True
    timeline: bool = True
    absences: bool = True  # when clients were away: a row for each time, which adds up in large fleets
    model: bool = False  # the last version, as model.pt and model.safetensors
    report: bool = False  # five megabytes, the same script in each: `flsim report DIR` makes it when wanted

    @property
    def picture_formats(self) -> tuple[Format, ...]:
        """The formats in which pictures are written: none if they are not."""
        if isinstance(self.plots, Pictures):
            return tuple(dict.fromkeys(self.plots.formats))
        return ("png",) if self.plots else ()
