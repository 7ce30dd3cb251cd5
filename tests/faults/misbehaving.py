"""Plug-ins that raise, that return what they may not, and that let a run stand still."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from flsim.draws import Stream
from flsim.learn.aggregations import Combined, Contribution, Population, combine
from flsim.learn.attacks import Scene, craft
from flsim.learn.memory import Memory
from flsim.learn.server_optimizers import move
from flsim.policy import FedAsync
from flsim.policy.known import Known
from flsim.policy.selection import Selection
from flsim.policy.view import Decision, Dispatch, View, Wait
from flsim.scenario.aggregation import Aggregation
from flsim.scenario.attack import Attack
from flsim.scenario.metadata import Facts, Metadata
from flsim.scenario.server_optimizer import ServerOptimizer


class OddError(Exception):
    """An error that cannot be made again from its arguments."""

    def __init__(self, one: int, *, other: int) -> None:
        super().__init__(f"odd: {one}, {other}")


def raised(how: str) -> Any:
    """Raise an error of a kind."""
    if how == "odd":
        raise OddError(1, other=2)
    if how == "exit":
        sys.exit(0)
    if how == "cause":
        try:
            raised("KeyError")
        except KeyError as error:
            raise LookupError("of something") from error
    errors: dict[str, type[BaseException]] = {"StopIteration": StopIteration, "OSError": OSError}
    raise errors.get(how, KeyError)("lost")


class Raising(FedAsync):
    """Raises when there is a version."""

    kind: str = "raising"
    how: str = "KeyError"

    def decide(self, view: View) -> Decision:
        return raised(self.how) if view.version else super().decide(view)  # type: ignore[no-any-return]


class Rubbish(FedAsync):
    """Decides what is none, or holds what it may not."""

    kind: str = "rubbish"
    what: str

    def decide(self, view: View) -> Decision:
        decisions: dict[str, Any] = {
            "none": None,
            "type": Dispatch,
            "nobody": Dispatch(None),  # type: ignore[arg-type]
            "words": Dispatch(("a",)),  # type: ignore[arg-type]
            "lists": Dispatch(([1],)),  # type: ignore[arg-type]
            "a word": Wait("soon"),  # type: ignore[arg-type]
            "nan": Wait(float("nan")),
            "infinity": Wait(float("inf")),
        }
        return decisions[self.what]  # type: ignore[no-any-return]


class Waiting(FedAsync):
    """Never asks anybody: waits for nothing, for clients, from second to second, or for what is over."""

    kind: str = "waiting"
    how: str

    def decide(self, view: View) -> Decision:
        ways = {
            "nothing": Wait(),
            "clients": Wait(for_clients=True),
            "seconds": Wait(view.now + 1.0),
            "the past": Wait(view.now - 1.0),
            "nobody": Dispatch(()),
        }
        return ways[self.how]


class Picking(Selection):
    """Raises, or picks what cannot be asked."""

    kind: str = "picking"
    what: str = "raises"

    def select(self, idle: Sequence[int], count: int, draws: Stream, decision: int, known: Known) -> Any:
        if self.what == "raises":
            raised("KeyError")
        return {"none": None, "words": ("a", "b"), "strangers": (99,)}[self.what]


class Adding(Aggregation):
    """Raises, or gives what is no update."""

    kind: str = "adding"
    what: str = "raises"


@combine.register
def adding(
    spec: Adding, contributions: Sequence[Contribution], memory: Memory, population: Population
) -> Combined:
    first = contributions[0].update
    if spec.what == "raises":
        raised("KeyError")
    results: dict[str, Any] = {
        "none": None,
        "a number": Combined(1.0, ()),  # type: ignore[arg-type]
        "too short": Combined(first[:-1], tuple(each.weight for each in contributions)),
        "too few weights": Combined(first, ()),
    }
    return results[spec.what]  # type: ignore[no-any-return]


class Stepping(ServerOptimizer):
    """Raises."""

    kind: str = "stepping"


@move.register
def stepping(spec: Stepping, model: Tensor, update: Tensor, memory: Memory) -> Tensor:
    return raised("KeyError")  # type: ignore[no-any-return]


class Cheating(Attack):
    """Raises."""

    kind: str = "cheating"


@craft.register
def cheating(spec: Cheating, scene: Scene) -> Sequence[Tensor]:
    return raised("KeyError")  # type: ignore[no-any-return]


class Silent(Metadata):
    """Raises."""

    kind: str = "silent"

    def report(self, facts: Facts) -> Mapping[str, object]:
        return raised("KeyError")  # type: ignore[no-any-return]


class Network(nn.Module):
    """Raises when it trains on samples, which are not all zero, or when it is tested on them."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self._layer = nn.Linear(6, 3)
        self._when = when

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_meta and x.any() and self._when == ("training" if self.training else "testing"):
            raised("KeyError")
        out: Tensor = self._layer(x)
        return out
