"""The idle set against Python's own."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flsim.sim.idle import IdleSet

CLIENTS = 8


class AgainstASet(RuleBasedStateMachine):
    """Whatever is added and removed, members, length, order by index and membership agree."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = IdleSet(CLIENTS)
        self.model: set[int] = set()

    @precondition(lambda self: len(self.model) < CLIENTS)
    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(sorted(set(range(CLIENTS)) - self.model)))
        self.idle.add(client)
        self.model.add(client)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(sorted(self.model)))
        self.idle.remove(client)
        self.model.remove(client)

    @invariant()
    def agrees(self) -> None:
        assert len(self.idle) == len(self.model)
        assert sorted(self.idle) == sorted(self.model)
        assert {self.idle[index] for index in range(len(self.idle))} == self.model
        assert {client for client in range(CLIENTS) if client in self.idle} == self.model


TestAgainstASet = AgainstASet.TestCase


def test_the_last_member_takes_the_place_of_the_removed_one() -> None:
    idle = IdleSet(5)
    for client in range(5):
        idle.add(client)
    idle.remove(1)
    assert list(idle) == [0, 4, 2, 3]
    idle.remove(3)
    assert list(idle) == [0, 4, 2]
    assert list(idle[:2]) == [0, 4]


@pytest.mark.parametrize("stranger", [-1, 5, 10**12, 1.0, "1", None])
def test_what_is_no_client_is_not_in_it(stranger: object) -> None:
    idle = IdleSet(5)
    for client in range(5):
        idle.add(client)
    assert stranger not in idle
