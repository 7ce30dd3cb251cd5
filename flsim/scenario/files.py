"""Files that a scenario names. Their paths are relative to the scenario's own folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class ReadingFrom:
    """The context of validating a scenario: the folder that its relative paths start from."""

    folder: Path


def _resolved(path: str, info: ValidationInfo) -> str:
    if "\0" in path:
        raise PydanticCustomError("misfit", "a path has no NUL character in it")
    if not isinstance(info.context, ReadingFrom):
        return path
    return str((info.context.folder / Path(path).expanduser()).absolute())


FilePath = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_resolved)]
