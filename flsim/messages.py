"""What world and program tell each other: messages to clients, what answers take, and what came of them.

A program decides by itself whom it sends what, and when: a Flower app is one. The world knows its messages
by their numbers, sizes and instants, and never what is in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable


class Letter(NamedTuple):
    """A message to a client, handed to the world at this instant.

    `trains`: it asks for an update, and so is a task; anything else is not. `version`: of the model that it
    carries, or the current one if it carries none. `expires_s`: when nobody waits for its answer any more.
    """

    number: int
    client: int
    trains: bool
    kind: str
    group: str
    version: int
    download_bytes: int
    expires_s: float


class Answer(NamedTuple):
    """What it takes a client to answer: work for its device, None for none; seconds beside it; and bytes.

    `error`: Flower's code if the answer is an error, and `reason`. `hangs`: it never comes to an end.
    `samples` and `loss`: what the answer says of them, 0 and None if nothing.
    """

    flop: float | None
    seconds: float
    upload_bytes: int
    samples: int = 0
    loss: float | None = None
    error: int | None = None
    reason: str | None = None
    hangs: bool = False


class Silence(StrEnum):
    """Why a message gets no answer from its client."""

    EXPIRED = "expired"  # its time was over first
    NODE = "node unavailable"  # the client has gone, or has failed at it


class Collected(NamedTuple):
    """The program has taken the answer to a message, whatever it is."""

    number: int


class Refused(NamedTuple):
    """The program cannot use an answer: with which of Flower's error codes it says so, and why."""

    number: int
    error: int
    reason: str


@dataclass(frozen=True)
class Made:
    """The program has a new global model. `used`: the messages whose answers it is made of, and weights.

    A weight is None where the program does not say. Version 0 is the first model, made of nothing.
    """

    version: int
    model_sha256: str | None
    used: Mapping[int, float | None] = field(default_factory=dict)


class Tested(NamedTuple):
    """A version was tested; None where that gave no such number."""

    version: int
    accuracy: float | None
    loss: float | None


Event = Letter | Collected | Refused | Made | Tested


class Pause(NamedTuple):
    """The program waits: for an answer to any of its messages or, at the latest, until an instant."""

    until_s: float | None


class Office(Protocol):
    """What a program may ask the world."""

    @property
    def now(self) -> float:
        """Virtual seconds since the run began."""

    def online(self) -> Sequence[int]:
        """Return the clients that the server holds to be there, in order of their ids."""


@runtime_checkable
class Program(Protocol):
    """Asks clients, and answers for them. It is called by the world only, and never twice at a time."""

    def proceed(self, office: Office) -> Pause | None:
        """Let the program go on until it waits; None if it has come to its end."""

    def events(self) -> Sequence[Event]:
        """Return what it has done since it was last asked, in order."""

    def answers(self, numbers: Sequence[int]) -> Sequence[Answer]:
        """Let clients answer these messages, which are all of different ones."""

    def settle(self, number: int, *, computed: bool) -> None:
        """A client is done with a message. `computed`: it has come to the end of its work for it."""

    def deliver(self, number: int) -> None:
        """The answer to a message has come in."""

    def silent(self, number: int, why: Silence) -> None:
        """There will be no answer to a message."""

    def stop(self) -> None:
        """The run is over: end the program wherever it is."""

    def told(self) -> Mapping[str, object]:
        """Return what it has to say of itself and of what it measured, as plain data."""
