"""What is remembered comes back from a file as it was: values, order, what is shared, and where it lies."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flsim.errors import RunError
from flsim.learn.state import read_state, write_state

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def again(folder: Path, state: object) -> object:
    path = folder / "state.safetensors"
    write_state(path, state)
    return read_state(path)


@given(state=PLAIN)
def test_plain_data_come_back(tmp_path_factory, state):
    found = again(tmp_path_factory.mktemp("state"), state)
    assert found == state
    assert repr(found) == repr(state)  # and in their order, and -0.0 as such


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(3, 4, dtype=torch.float64),
        torch.tensor([math.nan, math.inf, -0.0]),
        torch.arange(5),
        torch.tensor([True, False]),
        torch.randn(4).bfloat16(),
        torch.zeros(0, 3),
        torch.tensor(2.5),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}",
)
def test_tensors_come_back_to_the_bit(tmp_path, tensor):
    found = again(tmp_path, {"one": [tensor]})["one"][0]
    assert found.dtype == tensor.dtype
    assert found.shape == tensor.shape
    assert (
        found.numpy(force=True).tobytes() == tensor.numpy(force=True).tobytes()
        if (tensor.dtype is not torch.bfloat16)
        else torch.equal(found, tensor)
    )


def test_arrays_come_back(tmp_path):
    array = np.array([1.5, math.nan])
    found = again(tmp_path, {"array": array, "number": np.float64(0.1)})
    assert found["array"].tobytes() == array.tobytes()
    assert found["number"] == 0.1


def test_what_was_one_is_one_and_what_was_two_is_two(tmp_path):
    shared, equal = torch.ones(5), torch.ones(5)
    found = again(tmp_path, [shared, {1: shared}, equal, shared.view(5, 1)])
    assert found[0] is found[1][1]
    found[0][0] = 7.0
    assert found[1][1][0] == 7.0
    assert found[2][0] == 1.0


def test_what_is_shared_is_written_once(tmp_path):
    big = torch.zeros(10_000)
    again(tmp_path, [big] * 10)
    assert (tmp_path / "state.safetensors").stat().st_size < 2 * big.nbytes


def test_a_part_is_written_without_the_rest(tmp_path):
    row = torch.zeros(1000, 100)[7]
    again(tmp_path, row)
    assert (tmp_path / "state.safetensors").stat().st_size < 2000


@pytest.mark.parametrize("start", [0, 1, 5, 16])
def test_tensors_lie_as_they_did(tmp_path, start):
    memory = torch.randn(200)
    assert memory.data_ptr() % 64 == 0
    part = memory[start : start + 12].view(3, 4).T
    found = again(tmp_path, part)
    assert torch.equal(found, part)
    assert found.stride() == part.stride()
    assert found.data_ptr() % 64 == part.data_ptr() % 64


def test_the_same_state_gives_the_same_bytes(tmp_path):
    contents = []
    for _ in range(2):
        state = {"b": torch.arange(3), "a": [torch.ones(2), torch.zeros(2)], 3: np.arange(4)}
        write_state(tmp_path / "state", state)
        contents.append((tmp_path / "state").read_bytes())
    assert contents[0] == contents[1]


def test_what_is_no_plain_data_is_not_written(tmp_path):
    with pytest.raises(TypeError, match="a set is no plain data"):
        write_state(tmp_path / "state", {"a": {1, 2}})
    assert not (tmp_path / "state").exists()


class Harm:
    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@pytest.mark.parametrize("content", [b"", b"PK", pickle.dumps(Harm()), b"\x08" + bytes(7) + b"{}      "])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(RunError, match="is not the state of a run"):
        read_state(tmp_path / "state")


def test_numbers_of_numpy_come_back_as_numbers(tmp_path: Path) -> None:
    write_state(tmp_path / "x", {"a": np.float64(1.5), "b": np.int64(7), "c": [np.bool_(True)]})
    read = read_state(tmp_path / "x")
    assert read == {"a": 1.5, "b": 7, "c": [True]}
    assert [type(read[key]) for key in ("a", "b")] == [float, int]  # type: ignore[call-overload, index]


def test_a_state_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be read: .* is a folder, not a file"):
        read_state(tmp_path)


@pytest.mark.slow
def test_a_state_of_more_than_a_gibibyte_is_read_again(tmp_path: Path) -> None:
    """As that of a large model is, or of many clients that remember: only what is JSON is limited."""
    write_state(tmp_path / "large", {"weights": torch.full((270_000_000,), 1.5)})
    assert (tmp_path / "large").stat().st_size > 2**30
    weights = read_state(tmp_path / "large")["weights"]  # type: ignore[call-overload, index]
    assert (weights.shape, float(weights[-1])) == ((270_000_000,), 1.5)
    (tmp_path / "large").unlink()
