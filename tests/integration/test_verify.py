"""`flsim verify` finds every changed byte, and says where; signatures say who."""

import base64
import gzip
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from flsim.cli import cli
from flsim.errors import EXIT_DONE, EXIT_ERROR, RunError, ScenarioError
from flsim.govern.manifest import rendered
from flsim.govern.verify import Verified, verify
from tests.governed import run_in, timed, trained

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    assert _flsim("keygen", path)[0] == EXIT_DONE
    return path


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    """A run that trained and was signed by its scenario."""
    return run_in(tmp_path_factory.mktemp("signed"), trained(governance={"sign": str(key)}))


@pytest.fixture
def own(signed: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return shutil.copytree(signed, tmp_path / "own")


def _flsim(*args: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [*map(str, args)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stdout


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _damage(verified: Verified) -> tuple[str, str]:
    [damage] = verified.damages
    return damage.file, damage.place


def test_a_run_that_nobody_touched_is_unchanged(signed: Path, key: Path) -> None:
    verified = verify(signed, public_key=key.with_name("key.pem.pub"))
    assert (verified.damages, verified.signed, verified.unlisted) == ((), True, ())
    assert verified.files + 2 == len(_files(signed))  # the manifest and its signature
    assert _flsim("verify", signed) == (
        EXIT_DONE,
        f"UNCHANGED {verified.files} files; the manifest is signed\n"
        f"Manifest: sha256 {verified.manifest_sha256}\n",
    )


def _flips(folder: Path, name: str, count: int) -> dict[int, tuple[str, str]]:
    """Change a byte at so many random offsets, one after the other; return what is found, by offset."""
    draw, path = random.Random(name), folder / name
    whole = path.read_bytes()
    found = {}
    for _ in range(count):
        at = draw.randrange(len(whole))
        spoiled = bytearray(whole)
        spoiled[at] ^= draw.randrange(1, 256)
        path.write_bytes(bytes(spoiled))
        found[at] = _damage(verify(folder))
    path.write_bytes(whole)
    return found


def _assert_all_found(folder: Path, count: int) -> None:
    for name in _files(folder):
        line_of = _line_of((folder / name).read_bytes())
        for at, (file, place) in _flips(folder, name, count).items():
            assert file == name
            if name.endswith(".jsonl") or name == "metrics.csv":
                assert place.split(";")[0] in (
                    f"line {line_of(at)}",
                    f"lines {line_of(at)} to {line_of(at) + 1}",
                )
            elif name.endswith(".parquet"):
                assert place.startswith(("row", "column", "the table's head or footer")), place


def _line_of(content: bytes) -> Callable[[int], int]:
    return lambda at: content[:at].count(b"\n") + 1


def test_a_changed_byte_is_found_in_every_file(own: Path) -> None:
    _assert_all_found(own, 12)


@pytest.mark.slow
def test_a_changed_byte_is_found_at_a_thousand_places_of_every_file(own: Path) -> None:
    (own / "plots").mkdir()
    _assert_all_found(own, 1000)


def test_a_changed_byte_is_found_in_a_picture(tmp_path: Path) -> None:
    """Pictures are artefacts like any other; a run's own take long to draw."""
    from flsim.govern.manifest import Manifest, artefacts_in, parsed, write_manifest

    folder = run_in(tmp_path, timed())
    (folder / "plots").mkdir()
    (folder / "plots" / "one.png").write_bytes(PICTURE)
    manifest, wrong = parsed((folder / "governance" / "manifest.json").read_bytes())
    assert isinstance(manifest, Manifest)
    assert wrong is None
    write_manifest(folder, manifest.model_copy(update={"artefacts": artefacts_in(folder)}))
    assert {file for file, _ in _flips(folder, "plots/one.png", 50).values()} == {"plots/one.png"}


@pytest.mark.parametrize("row", [0, 3])
def test_a_forged_value_of_a_table_is_named_by_its_row(own: Path, row: int) -> None:
    """Not a flipped byte, but a table that was written anew with a better accuracy in it."""
    path = own / "versions.parquet"
    table = parquet.read_table(path)
    values = table["accuracy"].to_pylist()
    values[row] = 0.99
    columns = {name: table[name] for name in table.column_names} | {"accuracy": values}
    parquet.write_table(type(table).from_pydict(columns, schema=table.schema), path, compression="zstd")
    file, place = _damage(verify(own))
    assert file == "versions.parquet"
    assert place.startswith(f"row {row}")


def test_a_forged_value_of_a_document_is_named_by_its_line(own: Path) -> None:
    path = own / "summary.json"
    lines = path.read_text().splitlines()
    number = next(at for at, line in enumerate(lines, start=1) if '"final_accuracy"' in line)
    lines[number - 1] = '  "final_accuracy": 0.99,'
    path.write_text("\n".join(lines) + "\n")
    file, place = _damage(verify(own))
    assert (file, place.split(";")[0]) == ("summary.json", f"line {number}")


def test_a_changed_entry_of_the_manifest_is_named(own: Path) -> None:
    path = own / "governance" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"records_sha256": "', b'"records_sha256": "0', 1))
    assert _damage(verify(own)) == ("governance/manifest.json", "records_sha256")


def test_a_manifest_that_says_the_same_in_another_form_is_changed(own: Path) -> None:
    path = own / "governance" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'\n "audit"', b'\n\t"audit"', 1))
    file, place = _damage(verify(own))
    assert file == "governance/manifest.json"
    assert place.endswith("not written as a manifest is")


def test_what_is_missing_and_what_came_later_are_told(own: Path) -> None:
    (own / "metrics.csv").unlink()
    (own / "notes.txt").write_text("mine")
    verified = verify(own)
    assert _damage(verified) == ("metrics.csv", "missing")
    assert verified.unlisted == ("notes.txt",)
    code, said = _flsim("verify", own)
    assert code == EXIT_ERROR
    assert "CHANGED metrics.csv: missing" in said
    assert "notes.txt" in said


def test_a_cut_or_longer_file_is_found(own: Path) -> None:
    path = own / "timeline.json.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert f"{len(whole) - 3} bytes instead of {len(whole)}" in _damage(verify(own))[1]
    path.write_bytes(whole + gzip.compress(b""))
    assert _damage(verify(own))[0] == "timeline.json.gz"


def test_a_forgery_that_is_sealed_anew_is_found_by_the_signature_or_a_noted_hash(own: Path) -> None:
    """The manifest itself can be made anew: only what lies elsewhere can tell."""
    from tests.governed import reseal

    noted = verify(own).manifest_sha256
    assert verify(own, expected=noted).damages == ()
    reseal(own, lambda manifest: manifest["environment"].update(python="2.7"))
    assert _damage(verify(own))[0] == "governance/manifest.sig"
    (own / "governance" / "manifest.sig").unlink()
    assert verify(own).damages == ()
    assert _damage(verify(own, expected=noted))[0] == "governance/manifest.json"


# Signatures


def test_somebody_elses_signature_is_not_taken(own: Path, key: Path, tmp_path: Path) -> None:
    _flsim("keygen", tmp_path / "other.pem")
    assert _flsim("sign", own, "--key", tmp_path / "other.pem")[0] == EXIT_DONE
    assert verify(own).damages == ()
    file, place = _damage(verify(own, public_key=key.with_name("key.pem.pub")))
    assert file == "governance/manifest.sig"
    assert "another key" in place


def test_every_byte_of_a_signature_has_one_spelling(own: Path) -> None:
    """A capital among the digits is the same number, and a changed byte all the same."""
    path = own / "governance" / "manifest.sig"
    whole = path.read_bytes()
    letters = [at for at, byte in enumerate(whole) if 97 <= byte <= 122]
    assert len(letters) > 60  # of the digits a to f and the words
    for at in letters:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        assert _damage(verify(own)) == ("governance/manifest.sig", "not a signature")


def test_an_unsigned_run_is_not_taken_where_a_key_is_asked_for(own: Path, key: Path) -> None:
    (own / "governance" / "manifest.sig").unlink()
    verified = verify(own, public_key=key.with_name("key.pem.pub"))
    assert _damage(verified) == ("governance/manifest.sig", "missing: the manifest is not signed")


def test_a_changed_run_is_not_signed(own: Path, key: Path) -> None:
    (own / "metrics.csv").write_text("better\n")
    with pytest.raises(RunError, match=r"not signed, as files have changed: metrics\.csv"):
        _flsim("sign", own, "--key", key)


def test_a_key_is_nobodys_but_its_owners_and_is_not_overwritten(key: Path, signed: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RunError, match="exists already"):
        _flsim("keygen", key)
    secret = b"".join(key.read_bytes().splitlines()[1:-1])
    for name in _files(signed):
        content = (signed / name).read_bytes()
        assert secret not in content, name
        assert base64.b64decode(secret)[-32:].hex().encode() not in content, name


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"hello", "not a private key in PEM"), (None, "cannot be read")],
)
def test_a_bad_key_is_refused_before_the_run(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        run_in(tmp_path, timed(governance={"sign": str(path)}))
    assert not (tmp_path / "timed").exists()


def test_a_key_of_another_kind_is_refused(tmp_path: Path, own: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    other = X25519PrivateKey.generate()
    path = tmp_path / "x.pem"
    path.write_bytes(other.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    with pytest.raises(RunError, match="another kind; accepted: Ed25519"):
        _flsim("sign", own, "--key", path)


def test_a_run_without_a_manifest_says_how_to_get_one(tmp_path: Path) -> None:
    folder = run_in(tmp_path, timed(governance=None))
    with pytest.raises(RunError, match=r"governance: \{\}"):
        verify(folder)
    with pytest.raises(RunError, match="no such folder"):
        verify(tmp_path / "nowhere")


def test_unknown_keys_of_the_section_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"governance\.sing: unknown key; accepted here: sign"):
        run_in(tmp_path, timed(governance={"sing": "key.pem"}))


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b'{"seal": 3}', b"[" * 100_000, b'{"artefacts": {"/etc/passwd": {}}}'],
)
def test_a_manifest_that_is_none_is_damage(own: Path, content: bytes) -> None:
    (own / "governance" / "manifest.json").write_bytes(content)
    assert _damage(verify(own))[0] == "governance/manifest.json"


def test_a_manifest_cannot_name_files_outside_its_folder(own: Path) -> None:
    from tests.governed import reseal

    def change(manifest: dict[str, dict[str, object]]) -> None:
        manifest["artefacts"]["../outside.csv"] = manifest["artefacts"]["metrics.csv"]

    (own / "governance" / "manifest.sig").unlink()
    reseal(own, change)
    file, place = _damage(verify(own))
    assert file == "governance/manifest.json"
    assert "artefacts" in place


def test_the_manifest_tells_what_ran(signed: Path) -> None:
    manifest = json.loads((signed / "governance" / "manifest.json").read_text())
    summary = json.loads((signed / "summary.json").read_text())
    versions = parquet.read_table(signed / "versions.parquet")
    clients = parquet.read_table(signed / "clients.parquet")
    assert manifest["config"]["scenario_sha256"] == summary["scenario_sha256"]
    assert manifest["records_sha256"] == summary["records_sha256"]
    assert manifest["model"]["parameters"] == 6 * 8 + 8 + 8 * 3 + 3
    assert manifest["model"]["initial_sha256"] == versions["model_sha256"][0].as_py()
    assert manifest["data"]["client_samples"] == clients["samples"].to_pylist()
    assert manifest["features"]["strategy"] == "sync"
    assert manifest["features"]["governance"] is True
    assert manifest["features"]["privacy"] is False
    assert manifest["environment"]["torch"]
    tasks = sorted(parquet.read_table(signed / "tasks.parquet").to_pylist(), key=lambda row: row["task"])
    for origin in manifest["lineage"]:
        made_of = [row for row in tasks if row["aggregated_version"] == origin["version"]]
        assert [part["client"] for part in origin["tasks"]] == [row["client"] for row in made_of]
        assert [part["weight"] for part in origin["tasks"]] == [row["weight"] for row in made_of]


@pytest.mark.parametrize("content", [b"hello", None])
def test_a_bad_public_key_is_refused(own: Path, tmp_path: Path, content: bytes | None) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    path, message = tmp_path / "key.pub", "not a public key in PEM"
    if content is None:
        content = (
            X25519PrivateKey.generate()
            .public_key()
            .public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        )
        message = "a key of another kind; accepted: Ed25519"
    path.write_bytes(content)
    with pytest.raises(RunError) as refused:
        verify(own, public_key=path)
    assert str(refused.value).startswith(f"{path}: {message}")


def test_a_key_goes_nowhere_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"key\.pem: cannot be written: No such file or directory"):
        _flsim("keygen", tmp_path / "nowhere" / "key.pem")


def test_without_cryptography_the_extra_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(RunError, match=r"need the package cryptography: pip install"):
        verify(own)


def test_a_manifest_that_is_too_large_or_a_folder_is_refused(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own / "governance" / "manifest.json"
    with monkeypatch.context() as small:
        small.setattr("flsim.govern.manifest.MAX_BYTES", path.stat().st_size - 1)
        with pytest.raises(RunError, match=r"manifest\.json: larger than 0 MiB; not a manifest"):
            verify(own)
    path.unlink()
    path.mkdir()
    with pytest.raises(RunError, match=r"manifest\.json: cannot be read: Is a directory"):
        verify(own)


def test_an_entry_that_is_cut_off_a_section_is_told(own: Path) -> None:
    path = own / "governance" / "manifest.json"
    data = json.loads(path.read_bytes())
    data["lineage"].pop()
    path.write_bytes(rendered(data))
    assert _damage(verify(own)) == ("governance/manifest.json", "lineage")
