"""Sections and components: how a mapping becomes an object."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import ValidationError

from flsim.component import Component, Kinds, Section, kind_of
from flsim.policy import Strategy
from flsim.policy.staleness import AnyStaleness, PolynomialStaleness, Staleness, UniformStaleness


class Holder(Section):
    """A section with one component in it."""

    staleness: AnyStaleness = UniformStaleness()
    numbers: tuple[int, ...] = ()


class Linear(Staleness):
    """A user's own component."""

    kind: str
    slope: float = 0.5

    def factor(self, staleness: int) -> float:
        return max(0.0, 1 - self.slope * staleness)


class NotOne(Component):
    """A component, but of another contract."""

    kind: str = "not_one"


def problem(value: object) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"staleness": value})
    (details,) = caught.value.errors()
    return dict(details)


def test_kind_selects_the_class_and_the_rest_its_parameters() -> None:
    holder = Holder.model_validate({"staleness": {"kind": "polynomial", "a": 2.0}})
    assert holder.staleness == PolynomialStaleness(a=2.0)
    assert type(holder.staleness) is PolynomialStaleness


def test_defaults_and_ready_made_components_are_kept() -> None:
    law = PolynomialStaleness(a=1.0)
    assert Holder().staleness == UniformStaleness()
    assert Holder(staleness=law).staleness is law


def test_the_kinds_are_the_registry() -> None:
    kinds = Kinds(Staleness, UniformStaleness, PolynomialStaleness)
    assert kinds.classes == {"uniform": UniformStaleness, "polynomial": PolynomialStaleness}
    assert kind_of(PolynomialStaleness) == "polynomial"


def test_an_import_path_selects_a_users_own_class() -> None:
    path = f"{__name__}:Linear"
    holder = Holder.model_validate({"staleness": {"kind": path, "slope": 0.25}})
    assert isinstance(holder.staleness, Linear)
    assert holder.staleness.factor(2) == 0.5
    assert Holder.model_validate(holder.model_dump(mode="json")) == holder


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("polynomal", "no such kind; accepted: uniform, constant, inverse, exponential, polynomial, hinge"),
        ("polynomal", "did you mean 'polynomial'"),
        (None, "the key 'kind' is missing"),
        (3, "no such kind"),
        (["uniform"], "no such kind"),
        ("no_such_module:X", "cannot be imported: No module named 'no_such_module'"),
        (f"{__name__}:Missing", "cannot be imported"),
        (".relative:X", "cannot be imported"),
        (":X", "cannot be imported"),
        (":", "cannot be imported"),
        ("a\0b:X", "cannot be imported"),
        (f"{__name__}:NotOne", "not a subclass of flsim.policy.staleness.Staleness"),
        (f"{__name__}:Kinds", "not a subclass of"),
        (f"{__name__}:sys", "not a subclass of"),
        (f"{__name__}:Staleness", "an abstract class; it lacks factor"),
    ],
)
def test_a_kind_that_selects_nothing_is_refused_at_its_key(kind: object, why: str) -> None:
    details = problem({"kind": kind})
    assert why in details["msg"]
    assert details["loc"] == (("staleness",) if kind is None else ("staleness", "kind"))


@pytest.mark.parametrize("value", [3, "uniform", None, [1]])
def test_what_is_not_a_mapping_is_refused(value: object) -> None:
    assert "expected a mapping with a key 'kind', one of uniform" in problem(value)["msg"]


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('boom')", "this is no python", "import sys; sys.nothing"]
)
def test_a_users_module_that_cannot_be_loaded_is_the_users_error(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_module", raising=False)
    assert "cannot be imported" in problem({"kind": "broken_module:X"})["msg"]


def test_an_unknown_key_names_those_that_are_accepted_and_the_nearest() -> None:
    details = problem({"kind": f"{__name__}:Linear", "slop": 1.0})
    assert details["loc"] == ("staleness", "slop")
    assert details["msg"] == "unknown key; accepted here: kind, slope; did you mean 'slope'?"
    assert details["input"] == 1.0


def test_a_key_that_is_not_text_is_unknown() -> None:
    with pytest.raises(ValidationError, match="unknown key"):
        Holder.model_validate({3: 4})


def test_sections_are_strict_and_frozen() -> None:
    holder = Holder.model_validate({"numbers": [1, 2]})
    assert holder.numbers == (1, 2)
    with pytest.raises(ValidationError, match="frozen"):
        holder.numbers = ()  # type: ignore[misc]
    for numbers in ([1.0], ["1"], [True], "12"):
        with pytest.raises(ValidationError):
            Holder.model_validate({"numbers": numbers})


def test_the_schema_requires_kind_and_allows_import_paths() -> None:
    schema = Holder.model_json_schema()
    built_in, imported = schema["properties"]["staleness"]["anyOf"]
    assert len(built_in["oneOf"]) == 6
    assert imported["properties"]["kind"]["pattern"] == ".:."
    assert schema["$defs"]["PolynomialStaleness"]["required"] == ["kind"]


def test_contracts_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Strategy(kind="x")  # type: ignore[abstract]


class Picky(Staleness):
    """A user's class may narrow its kind to its own import path."""

    kind: Literal["tests.unit.test_component:Picky"] = "tests.unit.test_component:Picky"

    def factor(self, staleness: int) -> float:
        return 1.0


def test_a_users_class_may_narrow_its_kind() -> None:
    class Nested(Section):
        staleness: Annotated[Staleness, Kinds(Staleness, UniformStaleness)] = Picky()

    assert Nested.model_validate({"staleness": {"kind": kind_of(Picky)}}) == Nested()
