"""The reference of every key, against the JSON schema, which pydantic writes by itself."""

import re
from typing import Any

import pytest
from click.testing import CliRunner

from flsim.cli import cli
from flsim.scenario import Scenario
from flsim.scenario.reference import chapters, keys_of
from flsim.terminal.reference import reference, reference_pages

SCHEMA: dict[str, Any] = Scenario.model_json_schema()
DEFINED: dict[str, dict[str, Any]] = {**SCHEMA["$defs"], "Scenario": SCHEMA}
ENTRIES = [entry for chapter in chapters() for place in chapter.places for entry in place.entries]
MARKS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def rows(text: str) -> dict[str, dict[str, list[str]]]:
    """Return the rows of each heading's table: by heading, then by key, the other cells."""
    found: dict[str, dict[str, list[str]]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
            assert heading not in found, f"two headings {heading}"
            found[heading] = {}
        elif line.startswith("| `"):
            key, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| ")))
            found[heading][key.strip("`")] = [
                cell.replace("\\|", "|").replace("&lt;", "<").replace("\\", "") for cell in cells
            ]
    return found


ROWS = rows(reference())


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(DEFINED[name].get("properties", {}))
    if "const" in found.get("kind", {}):  # a component; a crash has no kind
        del found["kind"]
    return found


def heading_of(entry: Any) -> str:
    return entry.path if entry.kind is None else f"{entry.path}: {entry.kind}"


def test_every_class_of_the_schema_is_described_once() -> None:
    described = [entry.cls.__name__ for entry in ENTRIES]
    named = {name.rsplit("__", 1)[-1] for name in SCHEMA["$defs"]}
    assert len(set(map(heading_of, ENTRIES))) == len(ENTRIES)
    assert sorted(set(described)) == sorted(named)
    assert len(described) == len(SCHEMA["$defs"])


@pytest.mark.parametrize("entry", ENTRIES, ids=heading_of)
def test_the_tables_have_the_keys_of_the_schema_with_their_bounds(entry: Any) -> None:
    name = entry.cls.__name__
    if name not in DEFINED:  # two classes of one name
        [name] = [
            each for each in DEFINED if each.endswith(f"{entry.cls.__module__.replace('.', '__')}__{name}")
        ]
    table = ROWS[heading_of(entry)]
    expected = properties(name)
    assert list(table) == list(expected)
    for key, schema in expected.items():
        value, default, meaning = table[key]
        required = key in DEFINED[name].get("required", [])
        assert (default == "must be given") == required, key
        assert meaning.endswith("."), (key, meaning)
        check(schema, value, key)


def check(schema: dict[str, Any], value: str, key: str) -> None:
    """Assert that a value's words have the bounds and the choices of its schema."""
    for bound, mark in MARKS.items():
        if bound in schema and "pattern" not in str(schema):
            limit = schema[bound]
            shown = {f"{limit:,}" if isinstance(limit, int) else f"{limit:g}", f"{limit:g}", "2^63"}
            assert any(f"{mark} {each}" in value for each in shown), (key, bound, value)
    for choice in schema.get("enum", [schema["const"]] if "const" in schema else []):
        assert f"`{choice}`" in value, key
    for option in schema.get("anyOf", []):
        if "$ref" not in option and "oneOf" not in option and "pattern" not in str(option):
            check(option, value, key)
    if "items" in schema and "oneOf" not in schema["items"]:
        assert "list" in value, key
        check(schema["items"], value, key)


def test_values_are_shown_with_units_and_what_they_mean() -> None:
    sync, network = ROWS["strategy: sync"], ROWS["network"]
    assert sync["cohort"] == [
        "whole number, ≥ 1, or `all`",
        "`10`",
        "How many updates make a version; or `all`.",
    ]
    assert sync["deadline"][:2] == ["time in s, > 0", "`none`"]
    assert network["latency"][:2] == ["time in s, ≥ 0, or a [distribution](#distribution)", "`0 s`"]
    assert network["downlink"][:2] == [
        "bandwidth in bit/s, > 0, or a [distribution](#distribution)",
        "`100 Mbit/s`",
    ]
    assert network["sharing"][:2] == ["`fair`, `fifo`, `none`", "`fair`"]
    assert network["topology"][:2] == ["a kind of [network.topology](#networktopology)", "`{kind: star}`"]
    assert ROWS["hierarchy"]["strategy"][0] == "a kind of [strategy](#strategy)"
    assert ROWS["aggregation: adaptive"]["alert"][1] == "`{kind: median}`"
    assert ROWS["network.topology.levels"]["nodes"][0] == "whole number, ≥ 1 and ≤ 100,000"
    assert ROWS["network.server.downlink: background"]["step"][1] == "`1 h`"


def test_every_key_means_something() -> None:
    silent = [
        f"{cls.__name__}.{key.name}"
        for cls in {Scenario, *(entry.cls for entry in ENTRIES)}
        for key in keys_of(cls)
        if not key.meaning
    ]
    assert sorted(silent) == [], "say what it means in the class's docstring, as in '`key`: what it means.'"


def anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w\s-]", "", heading).lower().replace(" ", "-") for heading in rows(text)}


def test_the_links_lead_to_headings() -> None:
    linked = set(re.findall(r"\]\(#([^)]*)\)", reference()))
    assert linked
    assert linked <= anchors(reference())


def test_the_links_between_pages_lead_to_headings() -> None:
    pages = reference_pages()
    there = {name: anchors(text) for name, text in pages.items()}
    found = [link for text in pages.values() for link in re.findall(r"\]\((\w+)\.md#([^)]*)\)", text)]
    assert {chapter for chapter, _ in found} == set(pages) - {"index"}
    assert [link for link in found if link[1] not in there[link[0]]] == []


def test_the_command_prints_it() -> None:
    done = CliRunner().invoke(cli, ["schema", "--format", "markdown"])
    assert (done.exit_code, done.stdout.strip()) == (0, reference().strip())
