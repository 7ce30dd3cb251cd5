"""What a codec is: how the tensors of an update are written, and what that takes on the wire.

Both ends know the shapes and the codec, so nothing else is on the wire, and `size_bytes` is what a
serialiser writes, byte for byte.
"""

from abc import abstractmethod
from collections.abc import Iterable
from fractions import Fraction
from math import ceil, prod
from typing import Annotated, ClassVar

from pydantic import Field

from flsim.component import Component

Shape = tuple[int, ...]
Share = Annotated[float, Field(gt=0, le=1)]

FLOAT_BYTES = 4


def numbers_in(plain_bytes: int) -> int:
    """Return how many float32 numbers so many bytes are."""
    return -(-plain_bytes // FLOAT_BYTES)


class Codec(Component):
    """How the tensors of an update are written: what they take on the wire, known from their shapes."""

    header_bytes: ClassVar[int] = 0
    """What a message takes beside its tensors."""
    remembers: ClassVar[bool] = False
    """Whether both ends keep something from one message of a client to its next."""

    @property
    def varies(self) -> bool:
        """Whether the size of a message depends on what is in it."""
        return False

    @abstractmethod
    def tensor_bytes(self, shape: Shape, kept: int | None = None) -> int:
        """Return what a tensor takes. `kept`: how many of its values are sent, where they decide that."""

    def size_bytes(self, shapes: Iterable[Shape]) -> int:
        """Return what a message takes: at most, if its size varies."""
        return self.header_bytes + sum(map(self.tensor_bytes, shapes))

    @property
    def unscaled(self) -> "Codec":
        """The codec on which values arrive as large as they are sent: of most, itself."""
        return self

    def noise(self, count: int) -> float:
        """Return a bound on the mean squared error over the squared norm of `count` values.

        Zero for codecs that cannot enlarge what error feedback carries on, whatever they are given.
        """
        return 0.0


class Sparsifier(Codec):
    """Keeps some of the values of a tensor as they are; the others count as zero."""

    @abstractmethod
    def kept(self, count: int) -> int:
        """Return how many of a tensor's values are sent: at most, where the values decide that."""

    def place_bytes(self, count: int, kept: int) -> int:
        """Return what it takes to say which of a tensor's values are sent."""
        return places_bytes(count, kept)

    def tensor_bytes(self, shape: Shape, kept: int | None = None) -> int:
        count = prod(shape)
        sent = self.kept(count) if kept is None else kept
        return self.place_bytes(count, sent) + FLOAT_BYTES * sent


class Quantiser(Codec):
    """Sends every value in fewer bits."""

    @abstractmethod
    def values_bytes(self, count: int) -> int:
        """Return what so many values of one tensor take, with what they are scaled by."""

    def tensor_bytes(self, shape: Shape, kept: int | None = None) -> int:
        return self.values_bytes(prod(shape))


def index_bytes(count: int) -> int:
    """Return how wide an index into `count` values is: 1, 2, 4 or 8 bytes.

    >>> index_bytes(256), index_bytes(257), index_bytes(70_000)
    (1, 2, 4)
    """
    return next(width for width in (1, 2, 4, 8) if count <= 256**width)


def places_bytes(count: int, kept: int) -> int:
    """Return what the places of `kept` among `count` values take: indices or a bit map, what is shorter.

    >>> places_bytes(4096, 41), places_bytes(4096, 410)
    (82, 512)
    """
    return min(index_bytes(count) * kept, packed_bytes(count, 1))


def packed_bytes(count: int, bits: int) -> int:
    """Return what `count` codes of so many bits take side by side."""
    return ceil(count * bits / 8)


def share_of(share: float, count: int) -> int:
    """Return max(1, ceil(share x count)), by the decimal number that the share is written as.

    >>> share_of(0.07, 100), share_of(0.01, 10)
    (7, 1)
    """
    return min(count, max(1, ceil(Fraction(repr(share)) * count)))
