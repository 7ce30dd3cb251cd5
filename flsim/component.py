"""Sections and components: the building blocks of a scenario.

A section is a frozen pydantic model with no unknown keys. A component is a section that is one of
several kinds; its `kind` selects the class, and the class is the implementation. `Kinds` lists the
built-in ones, which makes the list itself the registry, and lets a user name a class of their own by
import path.
"""

import importlib
import inspect
from typing import Any, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from flsim.errors import nearest


def misfit(loc: tuple[str | int, ...], given: object, why: str) -> ValidationError:
    """Return the error for a value that does not fit, at a location inside what is validated."""
    error = PydanticCustomError("misfit", "{why}", {"why": why})
    details = InitErrorDetails(type=error, loc=loc, input=given)
    return ValidationError.from_exception_data("scenario", [details])


class Section(BaseModel):
    """A frozen group of keys of the scenario file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                raise cls._unknown_key(key, value[key])
        return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}

    @classmethod
    def _unknown_key(cls, key: object, item: object) -> ValidationError:
        accepted = [name for name in cls.model_fields if name != key]
        why = f"unknown key; accepted here: {', '.join(accepted)}{nearest(key, accepted)}"
        return misfit((str(key),), item, why)


class Component(Section):
    """A section of one kind among several. Subclasses narrow `kind` to a literal."""

    kind: str

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        required = [key for key in described.get("required", []) if key != "kind"]
        return described | {"required": ["kind", *required]}


class Kinds:
    """Annotation of a field that holds one of several components.

    `Annotated[Strategy, Kinds(Strategy, Sync, FedBuff)]` accepts a mapping whose `kind` is `sync`,
    `fedbuff`, or the import path `package.module:Class` of another subclass of `Strategy`.
    """

    def __init__(self, base: type[Component], *classes: type[Component]) -> None:
        self.base = base
        self.classes = {kind_of(cls): cls for cls in classes}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {kind: handler.generate_schema(cls) for kind, cls in self.classes.items()}
        return core_schema.with_info_wrap_validator_function(
            lambda value, _, info: self.resolve(value, info.context),
            core_schema.tagged_union_schema(choices, discriminator="kind"),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda component: component.model_dump(mode="json")
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        imported = {"type": "object", "properties": {"kind": {"type": "string", "pattern": ".:."}}}
        return {"anyOf": [handler(schema), imported | {"required": ["kind"]}]}

    def resolve(self, value: object, context: object = None) -> Component:
        """Return the component that a mapping describes, or the component that `value` is.

        `context` is what the validation of the whole scenario was given.
        """
        if isinstance(value, self.base):
            return value
        if not isinstance(value, dict):
            names = ", ".join(self.classes)
            raise misfit((), value, f"expected a mapping with a key 'kind', one of {names}")
        return self.class_of(value).model_validate(value, context=context)

    def class_of(self, value: dict[str, Any]) -> type[Component]:
        """Return the class that the `kind` of a mapping selects."""
        names = ", ".join(self.classes)
        kind = value.get("kind")
        if kind is None:
            raise misfit((), value, f"the key 'kind' is missing; accepted: {names}")
        if isinstance(kind, str) and ":" in kind:
            return self._imported(kind)
        if not isinstance(kind, str) or kind not in self.classes:
            hint = nearest(kind, self.classes)
            raise misfit(("kind",), kind, f"no such kind; accepted: {names}, or package.module:Class{hint}")
        return self.classes[kind]

    def _imported(self, path: str) -> type[Component]:
        module_name, _, class_name = path.partition(":")
        try:
            found: object = getattr(importlib.import_module(module_name), class_name)
        except (
            Exception,
            SystemExit,
        ) as error:  # the user's module may raise anything
            raise misfit(("kind",), path, f"cannot be imported: {error}") from error
        if not (isinstance(found, type) and issubclass(found, self.base)):
            base = f"{self.base.__module__}.{self.base.__name__}"
            raise misfit(("kind",), path, f"not a subclass of {base}")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(found.__abstractmethods__))
            raise misfit(("kind",), path, f"an abstract class; it lacks {missing}")
        return found


def kind_of(cls: type[Component]) -> str:
    """Return the word that selects a built-in component."""
    return cast(str, cls.model_fields["kind"].default)
