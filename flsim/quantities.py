"""Types for the fields of a scenario that hold a quantity: floats in base units, parsed from text."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from flsim.units import POWER, RATE, SIZE, SPEED, TIME, WORK, Dimension


@dataclass(frozen=True, eq=False)  # a type's annotations have to be hashable
class Quantity:
    """Annotation of a field that is a quantity: of what dimension, for whoever describes the field."""

    dimension: Dimension
    positive: bool


def quantity(dimension: Dimension, *, positive: bool) -> Any:
    """Return the annotations that make a float field a quantity of `dimension`."""

    def parse(value: object) -> float:
        try:
            return dimension.parse(value)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{why}", {"why": str(error)}) from error

    def check(value: float) -> float:
        if value < 0 or (positive and value == 0):
            raise PydanticCustomError(
                "quantity",
                "{phrase} must be {bound}",
                {"phrase": dimension.phrase, "bound": "greater than zero" if positive else "zero or more"},
            )
        return value

    described = WithJsonSchema(json_schema(dimension)), Quantity(dimension, positive)
    return BeforeValidator(parse), AfterValidator(check), *described


QUANTITY_TEXT = {"type": "string", "pattern": r"^\s*[-+]?[\d.].*$"}


def json_schema(dimension: Dimension) -> dict[str, Any]:
    """Return the JSON schema of a quantity: a number, or text with a unit."""
    return {
        "anyOf": [{"type": "number"}, QUANTITY_TEXT],
        "description": f"{dimension.phrase}; a bare number is in {dimension.base}; units: "
        + ", ".join(dimension.factors),
    }


Seconds = Annotated[float, *quantity(TIME, positive=False)]
PositiveSeconds = Annotated[float, *quantity(TIME, positive=True)]
Size = Annotated[float, *quantity(SIZE, positive=False)]
Rate = Annotated[float, *quantity(RATE, positive=True)]
Work = Annotated[float, *quantity(WORK, positive=False)]
Power = Annotated[float, *quantity(POWER, positive=False)]
Speed = Annotated[float, *quantity(SPEED, positive=True)]
