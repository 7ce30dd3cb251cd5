"""The faults themselves, and the share of a few of them that the tests find."""

import os
import subprocess
import sys

import pytest

from tests.mutation.operators import mutants_of
from tests.mutation.scope import GROUPS, ROOT, files_of, module_name

SOURCE = """
class A:
    def f(self, a, b):
        if a < b and not b:
            self.x += 1
        assert a > 0
        return min(a, b)
"""


def test_faults_of_a_function() -> None:
    found = [(mutant.before, mutant.after) for mutant in mutants_of("m", SOURCE)]
    assert found == [
        ("a < b and (not b)", "a < b or not b"),
        ("a < b", "a <= b"),
        ("a < b", "a >= b"),
        ("not b", "b"),
        ("self.x += 1", "(dropped)"),
        ("self.x += 1", "self.x -= 1"),
        ("1", "2"),
        ("return min(a, b)", "return None"),
        ("min", "max"),
    ]


def test_a_fault_is_in_the_code() -> None:
    (mutant,) = (mutant for mutant in mutants_of("m", SOURCE) if mutant.after == "max")
    names: dict[str, type] = {}
    exec(compile(mutant.mutated(), "m.py", "exec"), names)
    assert names["A"]().f(2, 3) == 3


def test_ids_are_unique_and_every_pattern_finds_a_module() -> None:
    for group in GROUPS.values():
        assert all(list((ROOT / "flsim").glob(pattern)) for pattern in group.modules)
        assert all((ROOT / "tests" / test).is_file() for test in group.tests)
        for file in files_of(group):
            ids = [mutant.id for mutant in mutants_of(module_name(file), file.read_text("utf-8"))]
            assert len(set(ids)) == len(ids)


SAMPLES = {
    "staleness": 30,
    "strategies": 60,
    "selections": 40,
    "max-min": 10,
    "world": 40,
    "aggregation": 24,
    "server optimisers": 30,
}


@pytest.mark.slow
@pytest.mark.parametrize(("group", "sample"), SAMPLES.items())
def test_a_sample_of_faults_is_found(group: str, sample: int) -> None:
    command = [sys.executable, "-m", "tests.mutation", "--group", group, "--sample", str(sample)]
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--least", "0.9"], cwd=ROOT, env=around, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
