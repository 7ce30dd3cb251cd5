"""What somebody has made up is refused in one sentence, costs little, and has nothing written elsewhere."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

from flsim.durable.before import read_before
from flsim.errors import FlsimError, RunError, ScenarioError
from flsim.govern.segments import place_of_change, segments_of
from flsim.learn.datasets.samples import load
from flsim.learn.datasets.tables.files import CsvFile, ParquetFile
from flsim.learn.datasets.text.corpus import passages, passages_by_line
from flsim.learn.state import read_state, write_state
from flsim.observe.blocks import batch_of
from flsim.observe.export import export
from flsim.observe.files import write_bytes
from flsim.observe.folder import below, open_folder, reopen_folder
from flsim.observe.recovery import recover
from flsim.observe.table_file import read_table
from flsim.observe.tables import read_tables
from flsim.scenario import yaml_text
from flsim.scenario.output import Output
from flsim.scenario.own_data import HuggingFace
from flsim.scenario.patterns import what_is_wrong
from flsim.scenario.text import Text
from flsim.sweeping.grid import grid_of, variations
from flsim.untrusted import json_of
from tests.fuzz.journals import journal_of

# YAML, sweeps, folders


def test_a_file_may_have_so_many_values_and_no_more() -> None:
    most = yaml_text.MAX_VALUES
    assert len(yaml_text.parse(f"[{'1,' * (most - 1)}]", "file").data) == most - 1  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match=f"more than {most:,} keys and values"):
        yaml_text.parse(f"[{'1,' * most}]", "file")


def test_a_sweep_has_so_many_runs_and_no_more() -> None:
    assert len(variations([grid_of(["seed=0..999", "strategy.cohort=1..100"])])) == 100_000
    with pytest.raises(ScenarioError, match="a sweep of 100100 runs; at most 100,000"):
        variations([grid_of(["seed=0..1000", "strategy.cohort=1..100"])])
    with pytest.raises(ScenarioError, match=r"at most|to 100,000 values"):
        grid_of(["seed=0..100000"])


@pytest.mark.parametrize("path", ["..", "../elsewhere", "outputs/../../elsewhere", "/tmp/../etc", "a\0b"])
def test_a_scenario_writes_into_no_folder_that_hides(path: str) -> None:
    with pytest.raises(ValueError, match=r"must be a path without '\.\.' and NUL"):
        Output(dir=path)


# Links in a run's folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody else, with a file in it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


def _untouched(elsewhere: Path) -> bool:
    return [path.name for path in elsewhere.iterdir()] == ["thesis.txt"] and (
        elsewhere / "thesis.txt"
    ).read_text() == "years of work"


@pytest.mark.parametrize("name", ["checkpoints", "export", "governance", "mlflow", "plots", "wandb"])
def test_a_run_begins_without_the_links_of_an_earlier_one(
    tmp_path: Path, elsewhere: Path, name: str
) -> None:
    folder = open_folder(tmp_path, "run", "name: run\n")
    (folder / name).symlink_to(elsewhere)
    (folder / "tasks.parquet").symlink_to(elsewhere / "thesis.txt")
    open_folder(tmp_path, "run", "name: run\n")
    assert sorted(path.name for path in folder.iterdir()) == ["scenario.yaml"]
    assert _untouched(elsewhere)


def test_a_run_that_goes_on_writes_through_no_link(tmp_path: Path, elsewhere: Path) -> None:
    folder = open_folder(tmp_path, "run", "name: run\n")
    (folder / "plots").symlink_to(elsewhere)
    reopen_folder(folder)
    assert not (folder / "plots").is_symlink()
    (folder / "checkpoints").symlink_to(elsewhere)
    with pytest.raises(RunError, match=r"checkpoints is a link to .*elsewhere"):
        reopen_folder(folder)
    assert _untouched(elsewhere)


def test_what_is_written_replaces_a_link(tmp_path: Path, elsewhere: Path) -> None:
    path = tmp_path / "report.html"
    path.symlink_to(elsewhere / "thesis.txt")
    write_bytes(path, b"<html>")
    assert path.read_bytes() == b"<html>"
    assert not path.is_symlink()
    assert _untouched(elsewhere)


@pytest.mark.parametrize("name", ["export", "plots", "tensorboard"])
def test_nothing_is_written_below_a_link(tmp_path: Path, elsewhere: Path, name: str) -> None:
    assert below(tmp_path, name) == tmp_path / name
    (tmp_path / name).symlink_to(elsewhere)
    with pytest.raises(
        RunError, match=rf"{name} is a link to .*; what is of a run is written into its own"
    ):
        below(tmp_path, name)


def test_an_export_goes_through_no_link(finished: Path, elsewhere: Path) -> None:
    (finished / "export").symlink_to(elsewhere)
    for form in ("csv", "perfetto"):
        with pytest.raises(RunError, match="export is a link to"):
            export(finished, form)
    assert _untouched(elsewhere)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a run, as far as its tables go."""
    corpus, folder = Path(__file__).parents[1] / "fuzz" / "corpus", tmp_path / "finished"
    folder.mkdir()
    for name in ("tasks", "versions", "clients"):
        (folder / f"{name}.parquet").write_bytes((corpus / name / f"{name}.parquet").read_bytes())
    (folder / "scenario.yaml").write_bytes((corpus / "run_scenario" / "scenario.yaml").read_bytes())
    return folder


@pytest.mark.parametrize(
    "content", [b'"\\ud800"', b'{"a": "\\uD800"}', b'"\xed\xa0\x80"', '"\\ud800"'.encode("utf-16")]
)
def test_half_a_character_is_no_json(content: bytes) -> None:
    assert json_of('{"a": "é😀"}'.encode()) == json_of(b'{"a": "\\u00e9\\ud83d\\ude00"}') == {"a": "é😀"}
    with pytest.raises(ValueError, match="surrogates not allowed"):
        json_of(content)


# Tables


def test_a_few_bytes_that_stand_for_many_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.parquet"
    parquet.write_table(
        pa.table({"task": pa.array(np.zeros(20_000_000, np.int8))}), path, compression="zstd"
    )
    assert path.stat().st_size < 100_000
    with pytest.raises(RunError, match=r"20,000,000 rows in [0-9,]+ bytes; it is not a table of a run"):
        read_table(path)


def test_a_text_that_stands_in_every_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "versions.parquet"
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int8)), pa.array(["x" * 100_000]))
    parquet.write_table(pa.table({"word": words}), path, compression="zstd", store_schema=False)
    with pytest.raises(RunError, match=r"the texts of the column word take 10,000,000,000 bytes"):
        read_table(path)
    known = segments_of(Path("small.parquet"), _small_table(tmp_path))
    assert place_of_change(known, path.read_bytes())  # which reads it, too


def _small_table(folder: Path) -> bytes:
    parquet.write_table(pa.table({"word": ["a", "b"]}), folder / "small.parquet")
    return (folder / "small.parquet").read_bytes()


def test_a_column_that_no_run_has_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"blob": [b"\xff"]}), tmp_path / "x.parquet")
    with pytest.raises(RunError, match="the column blob holds binary, which no table of a run does"):
        read_table(tmp_path / "x.parquet")


def test_text_of_a_parquet_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    ends = pa.py_buffer(np.array([0, 1, 3], np.int32).tobytes())
    words = pa.Array.from_buffers(pa.string(), 2, [None, ends, pa.py_buffer(b"a\xff\xfe")])
    parquet.write_table(pa.table({"word": words}), tmp_path / "x.parquet")
    with pytest.raises(ScenarioError, match=r"x\.parquet cannot be read: .*Invalid UTF8 sequence"):
        list(ParquetFile(tmp_path / "x.parquet").batches(["word"]))


def test_a_column_that_stands_twice_is_refused_with_and_without_a_schema(tmp_path: Path) -> None:
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["client", "client"])
    parquet.write_table(twice, tmp_path / "x.parquet")
    for schema in (None, pa.schema([("client", pa.string())])):
        with pytest.raises(RunError, match="has more than one column client"):
            read_table(tmp_path / "x.parquet", schema)


def test_a_task_of_a_client_that_cannot_be_there_is_refused(finished: Path) -> None:
    table = parquet.read_table(finished / "tasks.parquet")
    clients = np.full(table.num_rows, 50_000_000)  # of each of them, pictures would keep five numbers
    place = table.column_names.index("client")
    table = table.set_column(place, table.schema.field("client"), pa.array(clients))
    parquet.write_table(table, finished / "tasks.parquet")
    with pytest.raises(RunError, match=r"tasks.parquet: rows of clients that are not there"):
        read_tables(finished)


def test_rows_of_json_that_are_none_are_one_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('null.{"a": 1}\n{"a": 2, "label": 1}\n')  # on which pyarrow's own reader crashes
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(HuggingFace(path=str(path), inputs=("a",), label="label"), 0.5, 0)


@pytest.mark.parametrize("place", [8, 2**20 - 1, 2**20, 2**21 + 3])
def test_a_csv_file_that_is_not_utf_8_is_one_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], place: int
) -> None:
    path = tmp_path / "rows.csv"
    content = b"a,b\n" + b"1,2\n" * (2**19 + 10)
    path.write_bytes(content[:place] + b"\xe2\x82" + content[place:])  # the beginning of a character
    for read in (CsvFile(path).names, lambda: list(CsvFile(path).batches(["a"]))):
        with pytest.raises(ScenarioError, match=f"is not UTF-8: see its byte {place:,}; convert it"):
            read()
    assert capfd.readouterr() == ("", "")


# Patterns

EVIL = (
    *(r"(a+)+$", r"(a*)*$", r"^(a|a)*$", r"^(a|aa)+$", r"^(.*a){20}$", r"^(([a-z])+.)+[A-Z]$"),
    *(r"^(\w+\s?)*$", r"(x+x+)+y()", r"(.*)(.*)(.*)x", r"(?:a?){50}(a)", "a?" * 30 + "(b)"),
    *(
        r"a{0,90}a{0,90}a{0,90}a{0,90}(b)",
        r"^(\w+)\1",
        r"^(?=(a+))a*b",
        r"^(?<!a)(b)",
        r"^((?:a{1,9}){1,9})",
    ),
    *("(" * 90 + "a" + ")+" * 90, "x" * 600),
)


@pytest.mark.parametrize("pattern", EVIL)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    assert what_is_wrong(pattern)
    with pytest.raises(ValueError, match=r"could take for ever|not a regular expression"):
        Text(file="play.txt", owner=pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"^([A-Z]+)\.$", r"^(\w+): *", r"^([A-Z][A-Za-z ]*)\. ?", r"^(?:Act|Scene) (\w+)$", r"(\d)"),
        *(r"^\s*([A-Z]+):", r"^#{1,3} (.+)$", r"^(?i:name): (\S+)"),
    ],
)
def test_patterns_of_people_are_taken(pattern: str) -> None:
    assert what_is_wrong(pattern) is None


def test_a_match_is_within_the_beginning_of_its_line() -> None:
    text = "ANN: one\nBOB: two " + "x" * 300 + "\n" + "y" * 250 + "\nANN: three"
    assert passages_by_line(text, r"^([A-Z]+): ") == passages(text, r"^([A-Z]+): ")
    assert passages_by_line("z" * 250 + ": not one\nB: x", r"^(\w+): ") == {"B": ["x"]}
    longest, longer = "z" * 200, "z" * 201  # of the longer one it is not known where its word ends
    assert passages_by_line(f"{longest}\none\n{longer}\ntwo", r"^(z+)$") == {
        longest: [f"one\n{longer}\ntwo"]
    }


# Journals and checkpoints


def _journal(folder: Path, *frames: tuple[str, bytes]) -> Path:
    path = folder / "journal.flsim"
    path.write_bytes(journal_of([(name.encode(), body) for name, body in frames]))
    return path


BEGUN = b'{"flsim":"0","scenario_sha256":"a","scenario_yaml_sha256":"b","timing_only":false,"torch":"0"}'


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_packed_rows_of_a_journal_are_refused(kind: str) -> None:
    batch = pa.record_batch({"task": np.zeros(1_000_000, np.int64)})
    plain = batch.serialize().to_pybytes()
    assert batch_of(plain, batch.schema).equals(batch)
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema, options=pa.ipc.IpcWriteOptions(compression=kind)) as writer:
        writer.write_batch(batch)
    stream = out.getvalue().to_pybytes()
    packed = stream[len(batch.schema.serialize()) :]
    assert len(packed) < len(plain) / 100
    with pytest.raises(ValueError, match="something else than rows as they are"):
        batch_of(packed, batch.schema)


@pytest.mark.parametrize(
    "entry",
    [
        '{"version":"../../../etc/passwd","answers":1,"sha256":"0"}',
        '{"version":-1,"answers":1,"sha256":"0"}',
        '{"version":1,"answers":1.5,"sha256":"0"}',
        '{"version":1,"answers":1,"sha256":0}',
        '{"version":1}',
        '["version"]',
        "7",
    ],
)
def test_an_entry_that_is_no_checkpoint_is_one_error(tmp_path: Path, entry: str) -> None:
    _journal(tmp_path, ("run", BEGUN), ("checkpoint", entry.encode()))
    with pytest.raises(RunError, match="is not a journal of this flsim"):
        read_before(tmp_path)


@pytest.mark.parametrize("entry", [b"[]", b"{}", BEGUN.replace(b"false", b"0"), b"[" * 100_000])
def test_a_beginning_that_is_none_is_one_error(tmp_path: Path, entry: bytes) -> None:
    _journal(tmp_path, ("run", entry))
    with pytest.raises(RunError, match="is not a journal of this flsim"):
        read_before(tmp_path)


def test_a_checkpoint_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    _journal(tmp_path, ("run", BEGUN), ("checkpoint", b'{"answers":1,"sha256":"0","version":1}'))
    (tmp_path / "checkpoints").mkdir()
    os.mkfifo(tmp_path / "checkpoints" / "version-1.safetensors")
    before, _ = read_before(tmp_path)
    assert not before.taken
    assert "version-1.safetensors cannot be read: no such file" in before.warnings[0]


@pytest.mark.parametrize("body", [b"\xff" * 40, b"", b"{}"])
def test_a_schema_that_is_none_is_one_error(tmp_path: Path, body: bytes) -> None:
    path = _journal(tmp_path, ("schema", b"tasks".ljust(16, b"\0") + body))
    with pytest.raises(RunError, match="is not a journal of this flsim"):
        recover(path)


@pytest.mark.parametrize(
    "how",
    [
        {"device": "cpu", "past": 2**40},
        {"device": "cpu", "past": -4},
        {"device": "cpu", "stride": [2**40, 1]},
        {"device": "cpu", "stride": [0, 1]},
        {"device": "cpu", "stride": [1]},
        {"device": "meta"},
        {"device": 7},
        {},
        [],
    ],
)
def test_a_tensor_that_lies_nowhere_is_one_error(tmp_path: Path, how: object) -> None:
    path = tmp_path / "state.safetensors"
    state = {"weights": torch.arange(6.0).reshape(2, 3)}
    write_state(path, state)
    assert torch.equal(read_state(path)["weights"], state["weights"])
    _say(path, how)
    with pytest.raises(RunError, match="is not the state of a run"):
        read_state(path)


def _say(path: Path, how: object) -> None:
    """Make a file of a state say of its tensor that it lies otherwise."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    tree = json.loads(tensors["tree"].numpy().tobytes())
    tree["tensors"]["0"] = how
    tensors["tree"] = torch.frombuffer(bytearray(json.dumps(tree).encode()), dtype=torch.uint8)
    save_file(tensors, path)


def test_a_transposed_tensor_lies_as_it_did(tmp_path: Path) -> None:
    turned = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)
    write_state(tmp_path / "x", {"turned": turned})
    read = read_state(tmp_path / "x")["turned"]
    assert torch.equal(read, turned)
    assert read.stride() == turned.stride()


def test_every_refusal_is_one_of_flsim() -> None:
    assert issubclass(RunError, FlsimError)
    assert issubclass(ScenarioError, FlsimError)
