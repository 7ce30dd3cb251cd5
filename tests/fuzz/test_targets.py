"""Each parser meets a few inputs in `make test`, and ten thousand in the long study."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flsim.errors import FlsimError
from tests.fuzz.mutation import made
from tests.fuzz.study import study
from tests.fuzz.target import corpus
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that no run has


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_refuses_with_one_message_or_accepts(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=40 if target.share == 1 else 8, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32).map(lambda number: made(target, number)) | st.binary(max_size=300))
    def each(content: bytes) -> None:
        try:
            target.parse(content)
        except FlsimError as error:
            assert str(error).strip()

    for content in corpus(target):
        try:
            target.parse(content)
        except FlsimError as error:
            assert str(error).strip()
    each()


@pytest.mark.parametrize("name", TARGETS)
def test_each_parser_accepts_something(name: str) -> None:
    def accepted(content: bytes) -> bool:
        try:
            TARGETS[name].parse(content)
        except FlsimError:
            return False
        return True

    assert any(accepted(content) for content in corpus(TARGETS[name]))


def test_the_same_number_gives_the_same_input() -> None:
    target = TARGETS["scenario"]
    assert [made(target, number) for number in range(50)] == [made(target, number) for number in range(50)]
    assert len({made(target, number) for number in range(50)}) > 30


@pytest.mark.slow
def test_ten_thousand_inputs_over_all_parsers(tmp_path: Path) -> None:
    told = list(study(list(TARGETS.values()), 10_000, 0, tmp_path))
    assert sum(each.inputs for each in told) == 10_000
    assert not [fault for each in told for fault in each.faults]
