"""What the user gets wrong: one message that says where and what, exit code 1, and nothing written."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flsim.cli import main
from tests.integration.command import SMALL, files_in, flsim

Fails = Callable[..., str]


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run the command line in this process (fifty new ones would take a minute) and see it fail.

    Returns a function from arguments to the message.
    """
    monkeypatch.chdir(tmp_path)

    def failing(*args: str) -> str:
        before = files_in(tmp_path)
        with pytest.raises(SystemExit) as end:
            main([*args, "--out", "out"])
        out, err = capsys.readouterr()
        assert (end.value.code, out) == (1, ""), err
        assert "Traceback" not in err
        assert "defect" not in err
        assert err.startswith("error: ")
        assert err.count("error:") == 1
        assert files_in(tmp_path) == before
        return err

    return failing


def _line_of(text: str, key: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if key in line)


def _with(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


# Values that do not fit: the scenario, where the message points, and what it says.
MISFITS = {
    "an unknown key three levels deep": (
        _with("flops: 5 GFLOP/s", "flops: {kind: lognormal, median: 5 GFLOP/s, sgma: 1}"),
        "fleet",
        r"fleet\.compute\.flops\.sgma: unknown key.* did you mean 'sigma'\? \(given: 1\)",
    ),
    "a negative bandwidth": (
        SMALL + "network:\n  latency: 1 ms\n  uplink: -5 Mbit/s\n",
        "uplink",
        r"network\.uplink: a bandwidth must be greater than zero.*\(given: '-5 Mbit/s'\)",
    ),
    "more cohort than clients": (
        _with("cohort: 10", "cohort: 30"),
        "fleet",
        r"fleet\.clients: the strategy needs 30 clients at a time, but the fleet has 20 \(given: 20\)",
    ),
    "a wrong unit": (
        SMALL + "network: {latency: 5 MB}\n",
        "network",
        r"network\.latency: 'MB' is not a unit of time; accepted: ms, .*\(given: '5 MB'\)",
    ),
    "a unit in the wrong case": (
        SMALL + "network:\n  uplink: 5 mbit/s\n",
        "uplink",
        r"network\.uplink: 'mbit/s' is not a unit of bandwidth; .* did you mean 'M?bit/s'\?",
    ),
    "an unknown kind": (
        _with("kind: sync", "kind: snyc"),
        "strategy",
        r"strategy\.kind: no such kind; .* did you mean 'sync'\? \(given: 'snyc'\)",
    ),
    "a name that leaves the folder": (
        _with("name: small", "name: ../../small"),
        "name",
        r"name: must match .* \(given: '\.\./\.\./small'\)",
    ),
    "a class that cannot be imported": (
        _with("kind: sync, cohort: 10", "kind: 'no_such_package.strategies:Mine'"),
        "strategy",
        r"strategy\.kind: cannot be imported: No module named 'no_such_package'",
    ),
    "a missing section": (
        _with("stop: {updates: 10}\n", ""),
        "",
        r"stop: this key is required and missing",
    ),
    "a run without an end": (
        _with("stop: {updates: 10}", "stop: {accuracy: 0.9}"),
        "stop",
        r"stop: give updates or time, so that the run is sure to end",
    ),
    "a tag": (
        _with("cohort: 10", "cohort: !!python/object/apply:os.system [ls]"),
        "strategy",
        "tags are not accepted",
    ),
    "an anchor bomb": (
        SMALL + "network:\n  - &a [x, x]\n  - &b [*a, *a]\n  - &c [*b, *b]\n",
        "&a",
        "anchors and aliases are not accepted; write the value out",
    ),
    "deep nesting": (
        SMALL + "network: " + "[" * 32 + "]" * 32 + "\n",
        "network",
        "nested deeper than 32 levels",
    ),
    "nesting too deep for the parser": (
        SMALL + "network: " + "[" * 5000 + "]" * 5000 + "\n",
        "network",
        "nested deeper than 32 levels",
    ),
    "a key that stands twice": (SMALL + "name: again\n", "again", "the key 'name' stands twice"),
    "a second document": (SMALL + "---\n" + SMALL, "---", "a second document; one file holds one scenario"),
    "a bracket that is not closed": (SMALL + "network: {latency: 1 s\n", None, "not valid YAML: "),
    "a tab": (SMALL + "network:\n\tlatency: 1 s\n", "\t", "not valid YAML: "),
}


@pytest.mark.parametrize(("text", "key", "message"), MISFITS.values(), ids=MISFITS)
def test_a_scenario_that_does_not_fit(
    tmp_path: Path, fails: Fails, text: str, key: str | None, message: str
) -> None:
    """The message begins with the file and the line; `key` stands in that line (None: anywhere)."""
    (tmp_path / "wrong.yaml").write_text(text)
    found = fails("wrong.yaml")
    line = r":\d+" if key is None else f":{_line_of(text, key)}" if key else ""
    assert re.match(rf"error: wrong\.yaml{line}: {message}", found), found


# Things that are no scenario at all: what is put where, and what the message says.


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


NO_SCENARIOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (Path.mkdir, r": a folder, not a scenario file"),
    # Permissions do not stop root, who may well run the tests; a loop of links stops everybody.
    "an unreadable file": (_loop, r": cannot be read: .*symbolic link"),
    "an empty file": (_bytes(b""), r": a scenario is a mapping that begins with 'name: …'"),
    "comments only": (_bytes(b"# nothing\n"), r": a scenario is a mapping"),
    "a list": (_bytes(b"- name: small\n- seed: 1\n"), r": a scenario is a mapping"),
    "a word": (_bytes(b"hello\n"), r": a scenario is a mapping"),
    "binary rubbish": (_bytes(bytes(range(256)) * 4), r": not a text file \(byte 128 is not UTF-8\)"),
    "zeroes": (_bytes(b"name: \0\0\0\n"), r":?\d*: not valid YAML"),
    "another encoding": (_bytes(SMALL.encode("utf-16")), r": not a text file \(byte 0 is not UTF-8\)"),
    "latin letters": (_bytes("name: Zürich\n".encode("latin-1")), r": not a text file \(byte 7 is not UTF"),
    "a huge file": (_bytes(b"# padding\n" * 200_000), r": larger than 1 MiB"),
}


@pytest.mark.parametrize(("put", "message"), NO_SCENARIOS.values(), ids=NO_SCENARIOS)
def test_a_file_that_is_no_scenario(
    tmp_path: Path, fails: Fails, put: Callable[[Path], object], message: str
) -> None:
    put(tmp_path / "wrong.yaml")
    found = fails("wrong.yaml")
    assert re.match(rf"error: wrong\.yaml{message}", found), found
    assert found.count("\n") == 1


def test_a_missing_file_has_a_neighbour(small: Path, fails: Fails) -> None:
    assert fails("smal.yaml") == "error: smal.yaml: no such file; did you mean 'small.yaml'?\n"
    assert fails("xylophone.yaml") == "error: xylophone.yaml: no such file\n"
    assert fails("no/such/folder.yaml") == "error: no/such/folder.yaml: no such file\n"


def test_a_name_that_is_too_long(small: Path, fails: Fails) -> None:
    name = "x" * 300 + ".yaml"
    assert fails(name).startswith(f"error: {name}: cannot be read: ")


def test_data_that_is_not_there(tmp_path: Path, fails: Fails) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    dataset = f"{{kind: mnist, root: '{root}'}}"
    text = _with(
        "workload: {kind: synthetic, download: 1 MB, upload: 1 MB, compute: 1 GFLOP}",
        f"workload: {{kind: torch, data: {{dataset: {dataset}}}, model: {{kind: mlp}}}}",
    )
    (tmp_path / "mnist.yaml").write_text(text)
    message = fails("mnist.yaml")
    assert message.startswith(f"error: dataset mnist: {root}/MNIST/raw lacks train-images-idx3-ubyte, ")
    assert "set dataset.download: true" in message


def test_several_mistakes_are_told_at_once(tmp_path: Path, fails: Fails) -> None:
    text = SMALL.replace("cohort: 10", "cohort: -1").replace("updates: 10", "updates: many")
    (tmp_path / "wrong.yaml").write_text(text)
    first, second = fails("wrong.yaml").splitlines()
    assert first.startswith(f"error: wrong.yaml:{_line_of(text, 'strategy')}: strategy.cohort: must be ")
    assert second.startswith(f"wrong.yaml:{_line_of(text, 'stop')}: stop.updates: must be ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("", r"--set : expected a key path and a value, such as strategy\.cohort=20"),
        ("strategy.cohort", r"--set strategy\.cohort: expected a key path and a value"),
        ("..=1", r"--set \.\.=1: expected a key path and a value"),
        ("nonsense=1", r"small\.yaml \(changed by --set\): nonsense: unknown key"),
        ("strategy.cohort.deep=1", r"--set .*: 'strategy\.cohort' has no key 'deep'"),
        ("strategy.cohort=[", r"--set strategy\.cohort=\[.*: not valid YAML"),
        ("strategy.cohort=ten", r"small\.yaml \(changed by --set\): strategy\.cohort: .*\(given: 'ten'\)"),
        ("name=../escape", r"small\.yaml \(changed by --set\): name: must match"),
        ("seed=!!int 4", r"--set .*: tags are not accepted"),
    ],
)  # fmt: skip
def test_nonsense_in_set(small: Path, fails: Fails, override: str, message: str) -> None:
    found = fails("small.yaml", "--set", override)
    assert re.match(f"error: {message}", found), found


# Places that cannot be written


def test_a_folder_of_somebody_else_is_left_alone(small: Path, fails: Fails) -> None:
    theirs = small.parent / "out" / "small" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    message = fails("small.yaml")
    assert message.startswith("error: out/small: holds files that are not a run's; choose another folder")
    assert theirs.read_text() == "years of work"


def test_an_output_path_that_is_a_file(small: Path, fails: Fails) -> None:
    (small.parent / "out").write_text("a file")
    assert fails("small.yaml").startswith("error: out/small: cannot be written: ")
    assert (small.parent / "out").read_text() == "a file"


def test_a_run_folder_that_is_a_file(small: Path, fails: Fails) -> None:
    (small.parent / "out").mkdir()
    (small.parent / "out" / "small").write_text("a file")
    assert fails("small.yaml").startswith("error: out/small: cannot be written: ")


def test_an_output_path_that_leads_nowhere(small: Path, fails: Fails) -> None:
    _loop(small.parent / "out")
    assert fails("small.yaml").startswith("error: out/small: cannot be written: ")


def test_a_mistake_leaves_an_earlier_run_alone(small: Path, fails: Fails) -> None:
    assert flsim(small.name, "--out", "out", cwd=small.parent).returncode == 0
    summary = (small.parent / "out" / "small" / "summary.json").read_bytes()
    fails("small.yaml", "--set", "stop.updates=0")
    assert (small.parent / "out" / "small" / "summary.json").read_bytes() == summary


# Tracebacks


def test_verbose_shows_the_traceback(small: Path) -> None:
    done = flsim(small, "-v", "--set", "seed=-1", cwd=small.parent)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert "pydantic_core" in done.stderr
    assert f"\nerror: {small} (changed by --set): seed: must be " in done.stderr


BROKEN_STRATEGY = """\
from flsim.policy.fedasync import FedAsync


class Broken(FedAsync):
    kind: str = "broken"

    def decide(self, view):
        return 1 / 0
"""


def test_somebodys_own_strategy_that_raises_is_named(small: Path) -> None:
    (small.parent / "mine.py").write_text(BROKEN_STRATEGY)
    args = [small, "--set", "strategy={kind: 'mine:Broken'}"]
    done = flsim(*args, cwd=small.parent)
    assert done.returncode == 1
    assert done.stderr == (
        "error: strategy (mine:Broken) raised ZeroDivisionError: division by zero\n"
        "-v shows where it happened.\n"
    )
    loud = flsim(*args, "--verbose", cwd=small.parent)
    assert loud.returncode == 1
    assert 'mine.py", line 8, in decide' in loud.stderr
