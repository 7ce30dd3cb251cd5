"""How long ClientApps compute: declared, drawn, or counted while they do."""

from functools import singledispatch
from typing import NamedTuple

from flsim.draws import Stream
from flsim.errors import RunError
from flsim.flower.answering import Reply
from flsim.from_flower import MessageType
from flsim.messages import Letter
from flsim.scenario.flower import AppWork, CountedWork, DeclaredWork, FixedWork, PerSampleWork


class Took(NamedTuple):
    """FLOPs, which a device takes its time for, or seconds."""

    flop: float | None
    seconds: float


def category(kind: str) -> str:
    """Return what a message's type begins with, before its action.

    >>> category("train.head"), category("query")
    ('train', 'query')
    """
    return kind.partition(".")[0]


class Counts:
    """Owns what was counted: the FLOPs of an answer to each type of message, or of an example of it."""

    def __init__(self) -> None:
        self._flop: dict[str, float] = {}
        self._per_sample: dict[str, bool] = {}
        self._counted_on: dict[str, int] = {}

    def knows(self, kind: str) -> bool:
        """Return whether an answer to this type of message was counted."""
        return kind in self._flop

    def take(self, letter: Letter, samples: int, flop: float) -> None:
        """Take the first answer of a type. Raises RunError if there was nothing to count in training."""
        if flop == 0.0 and category(letter.kind) == MessageType.TRAIN:
            raise RunError(
                f"workload.work counted: in the answer to a {letter.kind} message, torch counted no FLOPs; "
                "say what it takes: {kind: per_sample, seconds: 2 ms}, or declared, or fixed"
            )
        self._per_sample[letter.kind] = samples > 0
        self._flop[letter.kind] = flop / samples if samples > 0 else flop
        self._counted_on[letter.kind] = letter.number

    def flop(self, kind: str, samples: int) -> float:
        """Return the FLOPs of an answer of so many examples."""
        return self._flop[kind] * (samples if self._per_sample[kind] else 1)

    def told(self) -> dict[str, object]:
        """Return what was counted, by type of message."""
        return {
            kind: {
                "flop_per_example" if self._per_sample[kind] else "flop": self._flop[kind],
                "counted_on_message": self._counted_on[kind],
            }
            for kind in self._flop
        }


@singledispatch
def took(spec: AppWork, letter: Letter, reply: Reply, samples: int, counts: Counts, seed: int) -> Took:
    """Return what an answer took to compute. `samples`: how many examples it says it is of."""
    raise TypeError(f"no such work: {type(spec).__name__}")


@took.register
def _(spec: CountedWork, letter: Letter, reply: Reply, samples: int, counts: Counts, seed: int) -> Took:
    """An answer that failed took what was counted in it."""
    if reply.message is None or reply.message.has_error():
        return Took(reply.flop or 0.0, 0.0)
    if not counts.knows(letter.kind):
        counts.take(letter, samples, reply.flop or 0.0)
    return Took(counts.flop(letter.kind, samples), 0.0)


@took.register
def _(spec: DeclaredWork, letter: Letter, reply: Reply, samples: int, counts: Counts, seed: int) -> Took:
    return Took(float(getattr(spec, category(letter.kind))), 0.0)


@took.register
def _(spec: PerSampleWork, letter: Letter, reply: Reply, samples: int, counts: Counts, seed: int) -> Took:
    u = Stream(seed, "flower.work.client").uniform(letter.client)
    return Took(None, samples * spec.seconds.quantile(u))


@took.register
def _(spec: FixedWork, letter: Letter, reply: Reply, samples: int, counts: Counts, seed: int) -> Took:
    u = Stream(seed, "flower.work.message").uniform(letter.number)
    return Took(None, spec.seconds.quantile(u))
