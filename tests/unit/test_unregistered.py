"""What is asked for a component that nothing was registered for: it says so, and names the component."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from flsim.learn.aggregations.outliers import fence
from flsim.learn.attacks.trigger import stamp
from flsim.learn.executors.build import build_executor
from flsim.learn.personalization.rule import personalizer_of
from flsim.observe.trackers.build import writer_for


class Own:
    """A user's component, of which nobody knows how it is done."""

    kind = "own"


NOTHING: Any = None


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda own: fence(own, torch.zeros(3)), "no such outliers: Own"),
        (lambda own: stamp(own, torch.zeros(3)), "no such trigger: Own"),
        (lambda own: build_executor(own, NOTHING), "no such executor: Own"),
        (lambda own: personalizer_of(own, NOTHING), "no such personalization: Own"),
        (
            writer_for,
            "nothing writes for a tracker of Own: register a writer for it",
        ),
    ],
)
def test_it_is_named(ask: Callable[[Any], object], message: str) -> None:
    with pytest.raises(TypeError) as refused:
        ask(Own())
    assert str(refused.value) == message
