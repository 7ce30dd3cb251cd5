"""`attack.trigger`: what a backdoor answers to."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds


class Trigger(Component):
    """What is put into a sample."""

    value: float = 1.0


class Patch(Trigger):
    """A square of `value` in a corner of an image, `size` pixels wide.

    `corner`: where it is.
    """

    kind: Literal["patch"] = "patch"
    size: Annotated[int, Field(ge=1)] = 2
    corner: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = "bottom_right"


class Columns(Trigger):
    """`value` in these columns of a vector.

    `columns`: their numbers, from 0.
    """

    kind: Literal["columns"] = "columns"
    columns: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)


AnyTrigger = Annotated[Trigger, Kinds(Trigger, Patch, Columns)]
