"""YAML text to plain data, for a file that nobody vouches for."""

import math
import time

import pytest

from flsim.errors import ScenarioError
from flsim.scenario import yaml_text
from flsim.scenario.yaml_text import Document, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("false", False),
        ("null", None),
        ("Null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("+12", 12),
        ("-0", 0),
        ("012", 12),
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e+3", -1500.0),
        (".inf", math.inf),
        ("+.INF", math.inf),
        ("-.inf", -math.inf),
        ("0o17", "0o17"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("=", "="),
        ("50 ms", "50 ms"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("''", ""),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: object) -> None:
    data = parse(f"key: {text}\n", "file").data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)  # type: ignore[index]


def test_a_nan_is_a_number_that_the_schema_will_refuse() -> None:
    assert math.isnan(yaml_text.scalar(".NAN"))  # type: ignore[arg-type]


def test_an_endless_integer_costs_nothing() -> None:
    """int() of long text is refused by Python itself; the number is too large for any key anyway."""
    assert yaml_text.scalar("9" * 100_000) == math.inf


def test_keys_are_words_whatever_they_look_like() -> None:
    assert parse("12: a\nnull: b\ntrue: c\n", "file").data == {"12": "a", "null": "b", "true": "c"}


def test_block_scalars_are_text() -> None:
    assert parse("a: |\n  12\nb: >\n  x\n  y\n", "file").data == {"a": "12\n", "b": "x y\n"}


@pytest.mark.parametrize("text", ["", "# nothing", "---\n", "---\n...\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert parse(text, "file").data is None


def test_every_key_path_has_its_line() -> None:
    document = parse("a: 1\n\n# remark\nb:\n  c: [x,\n    y]\n  d:\n  - e: 1\n    f: 2\n", "file")
    assert document.data == {"a": 1, "b": {"c": ["x", "y"], "d": [{"e": 1, "f": 2}]}}
    assert document.lines == {
        ("a",): 1,
        ("b",): 4,
        ("b", "c"): 5,
        ("b", "c", 0): 5,
        ("b", "c", 1): 6,
        ("b", "d"): 7,
        ("b", "d", 0): 8,
        ("b", "d", 0, "e"): 8,
        ("b", "d", 0, "f"): 9,
    }


def test_a_path_without_a_line_is_where_its_nearest_ancestor_is() -> None:
    document = Document({}, lines={("a",): 3}, overridden={("b", "c"): "--set"})
    assert document.where(("a", "x", "y"), "file") == "file:3"
    assert document.where(("b", "c", "d"), "file") == "file (changed by --set)"
    assert document.where(("b", "x"), "file") == "file"
    assert document.where((), "file") == "file"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tags are not accepted"),
        ("a: !x {b: 1}", 1, "tags are not accepted"),
        ("a: ! x", 1, "tags are not accepted"),
        ("!!map\na: 1", 1, "tags are not accepted"),
        ("a: &x 1\n", 1, "anchors and aliases are not accepted"),
        ("a: 1\nb: *a\n", 2, "anchors and aliases are not accepted"),
        ("a: &x [1]\nb: &y [*x, *x]\nc: [*y, *y]\n", 1, "anchors and aliases are not accepted"),
        ("a: 1\n<<: {b: 2}\n", 2, "merge keys are not accepted"),
        ("a:\n  b: 1\n  b: 2\n", 3, "the key 'b' stands twice"),
        ("{a: 1, a: 1}", 1, "the key 'a' stands twice"),
        ("a: 1\n---\nb: 1\n", 2, "a second document"),
        ("? [a]\n: 1\n", 1, "a key must be a word"),
        ("? {a: 1}\n: 1\n", 1, "a key must be a word"),
        ("a:\n\tb: 1\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("a: [1, 2\n", 2, "not valid YAML"),
        ("a: 'x\n", 2, "not valid YAML"),
        ("a: 1\n  b: 2\n", 2, "not valid YAML"),
        ('a: "\\ud800"\n', 1, "not valid YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_at_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "file")
    assert str(caught.value).startswith(f"file:{line}: ")
    assert why in str(caught.value)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, key in zip("abcdefgh", "bcdefghi", strict=True)
)
RUBBISH = "".join(chr(number * 7919 % 256) for number in range(5000))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "{a: " * 10_000,
        "\n".join(" " * depth + "a:" for depth in range(1000)),
        "- " * 10_000,
        "[" * 33 + "]" * 33,
        BOMB,
        "x" * (2 << 20),
        "ü" * (1 << 19) + "x",
        "a: \0",
        "\0" * 1000,
        "\x1b[31m",
        "a: \udcff",
        RUBBISH,
        "a: " + "[" * 30 + "\n" * 100_000 + "*x",
        "%TAG ! tag:x,2000:\n---\n!a b",
        "%YAML 9.9\n---\na: 1",
        "a" * 1_000_000 + ": 1",
        '"' + "\\x41" * 100_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_an_attack_is_one_error_and_soon(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ScenarioError, match=r"^file"):
        parse(text, "file")
    assert time.perf_counter() - started < 2.0


def test_the_depth_that_is_allowed_is_allowed() -> None:
    deepest = parse("[" * 32 + "]" * 32, "file").data
    for _ in range(32):
        assert isinstance(deepest, list)
        deepest = deepest[0] if deepest else None
    assert deepest is None


def test_the_size_that_is_allowed_is_allowed() -> None:
    text = "a: " + "x" * ((1 << 20) - 3)
    assert len(str(parse(text, "file").data)) > 1_000_000
    with pytest.raises(ScenarioError, match="larger than 1 MiB"):
        parse(text + "x", "file")


def test_a_byte_order_mark_and_foreign_line_ends_are_harmless() -> None:
    document = parse("\ufeffa: 1\r\nb: 2\r\n", "file")
    assert document.data == {"a": 1, "b": 2}
    assert document.lines == {("a",): 1, ("b",): 2}
