"""`compression`: what becomes of an update before it goes up, and of a version on its way down.

Updates are compressed, never weights. A codec works on the tensors of a model one by one.
`flsim.learn.compression` has what codecs do to tensors.
"""

from collections.abc import Iterable
from math import prod, sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Kinds, Section, misfit
from flsim.scenario.codec import (
    FLOAT_BYTES,
    Codec,
    Quantiser,
    Shape,
    Share,
    Sparsifier,
    packed_bytes,
    places_bytes,
    share_of,
)

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

_COUNT_BYTES = 4
_SEED_BYTES = 8


class TopK(Sparsifier):
    """The largest values of each tensor: max(1, ceil(`share` x n)) of n; of equals, the first.

    Reference: Aji and Heafield, "Sparse Communication for Distributed Gradient Descent", EMNLP 2017.
    """

    kind: Literal["top_k"] = "top_k"
    share: Share = 0.01

    def kept(self, count: int) -> int:
        return share_of(self.share, count)


class RandomK(Sparsifier):
    """Values drawn at random, max(1, ceil(`share` x n)) of n; the seed is sent, not the places.

    `unbiased`: times n over the number sent, so that what arrives is the update in the mean.

    Reference: Wangni et al., "Gradient Sparsification for Communication-Efficient Distributed
    Optimization", NeurIPS 2018.
    """

    kind: Literal["random_k"] = "random_k"
    share: Share = 0.01
    unbiased: bool = False
    header_bytes: ClassVar[int] = _SEED_BYTES

    def kept(self, count: int) -> int:
        return share_of(self.share, count)

    def place_bytes(self, count: int, kept: int) -> int:
        return 0

    @property
    def unscaled(self) -> Codec:
        return self.model_copy(update={"unbiased": False})

    def noise(self, count: int) -> float:
        return count / self.kept(count) - 1.0 if self.unbiased and count else 0.0


class Threshold(Sparsifier):
    """The values whose magnitude is `value` at least: however many these are.

    Reference: Strom, "Scalable Distributed DNN Training Using Commodity GPU Cloud Computing",
    Interspeech 2015.
    """

    kind: Literal["threshold"] = "threshold"
    value: Annotated[float, Field(gt=0)]

    @property
    def varies(self) -> bool:
        return True

    def kept(self, count: int) -> int:
        return count

    def place_bytes(self, count: int, kept: int) -> int:
        return _COUNT_BYTES + places_bytes(count, kept)


class Float16(Quantiser):
    """Every value as an IEEE half: 11 significant bits, up to 65504."""

    kind: Literal["float16"] = "float16"

    def values_bytes(self, count: int) -> int:
        return 2 * count


class BFloat16(Quantiser):
    """Every value as a bfloat16: 8 significant bits, with the range of float32."""

    kind: Literal["bfloat16"] = "bfloat16"

    def values_bytes(self, count: int) -> int:
        return 2 * count


class MinMax(Quantiser):
    """Each tensor's values rounded to 2^`bits` even steps from its least to its largest value."""

    kind: Literal["min_max"] = "min_max"
    bits: Annotated[int, Field(ge=1, le=16)] = 8

    @property
    def steps(self) -> int:
        """How many steps lie between the least and the largest value."""
        return int(2**self.bits) - 1

    def values_bytes(self, count: int) -> int:
        return 2 * FLOAT_BYTES + packed_bytes(count, self.bits) if count else 0


class Qsgd(Quantiser):
    """Each tensor's values rounded at random to multiples of its norm / `levels`, right in the mean.

    Codes have a fixed width, 1 + log2 of (levels + 1) bits rounded up, so that sizes are known beforehand.

    Reference: Alistarh et al., "QSGD: Communication-Efficient SGD via Gradient Quantization and
    Encoding", NeurIPS 2017.
    """

    kind: Literal["qsgd"] = "qsgd"
    levels: Annotated[int, Field(ge=1, le=32767)] = 127

    @property
    def bits(self) -> int:
        """How wide a code is, of those from -levels to levels."""
        return (2 * self.levels).bit_length()

    def values_bytes(self, count: int) -> int:
        return FLOAT_BYTES + packed_bytes(count, self.bits) if count else 0

    def noise(self, count: int) -> float:
        """Return the bound of Lemma 3.1."""
        return min(count / self.levels**2, sqrt(count) / self.levels)


class Sign(Quantiser):
    """One bit for each value, and each tensor's mean magnitude.

    Reference: Karimireddy et al., "Error Feedback Fixes SignSGD and other Gradient Compression Schemes",
    ICML 2019.
    """

    kind: Literal["sign"] = "sign"

    def values_bytes(self, count: int) -> int:
        return FLOAT_BYTES + packed_bytes(count, 1) if count else 0


class LowRank(Codec):
    """Each matrix as a product of two thin ones: a step of power iteration from where the last one ended.

    Tensors of more dimensions are matrices of their first dimension by all others; what has one dimension,
    or would not become smaller, is sent as it is.

    `rank`: the columns of the two thin matrices.

    Reference: Vogels et al., "PowerSGD: Practical Low-Rank Gradient Compression for Distributed
    Optimization", NeurIPS 2019.
    """

    kind: Literal["low_rank"] = "low_rank"
    rank: Annotated[int, Field(ge=1)] = 1
    remembers: ClassVar[bool] = True

    def sides(self, shape: Shape) -> tuple[int, int] | None:
        """Return the rows and columns of a tensor that is factored; None for one that is not."""
        if len(shape) < 2:
            return None
        rows, columns = shape[0], prod(shape[1:])
        return (rows, columns) if self.rank * (rows + columns) < rows * columns else None

    def tensor_bytes(self, shape: Shape, kept: int | None = None) -> int:
        sides = self.sides(shape)
        return FLOAT_BYTES * (prod(shape) if sides is None else self.rank * sum(sides))


_PLAIN = (TopK, RandomK, Threshold, Float16, BFloat16, MinMax, Qsgd, Sign, LowRank)


class Layers(Codec):
    """Two `codecs` one after the other: one that keeps some values, and one that these are rounded by.

    Reference: Basu et al., "Qsparse-local-SGD: Distributed SGD with Quantization, Sparsification, and Local
    Computations", NeurIPS 2019.
    """

    kind: Literal["layers"] = "layers"
    codecs: tuple[Annotated[Codec, Kinds(Codec, *_PLAIN)], Annotated[Codec, Kinds(Codec, *_PLAIN)]]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for place, sort, why in (
            (0, Sparsifier, "the first layer keeps some values: top_k, random_k or threshold"),
            (1, Quantiser, "the second layer rounds values: float16, bfloat16, min_max, qsgd or sign"),
        ):
            if not isinstance(self.codecs[place], sort):
                raise misfit(("codecs", place, "kind"), self.codecs[place].kind, why)
        return self

    @property
    def sparsifier(self) -> Sparsifier:
        """The first layer."""
        assert isinstance(self.codecs[0], Sparsifier)  # noqa: S101
        return self.codecs[0]

    @property
    def quantiser(self) -> Quantiser:
        """The second layer."""
        assert isinstance(self.codecs[1], Quantiser)  # noqa: S101
        return self.codecs[1]

    @property
    def varies(self) -> bool:
        return self.sparsifier.varies

    def tensor_bytes(self, shape: Shape, kept: int | None = None) -> int:
        count = prod(shape)
        sent = self.sparsifier.kept(count) if kept is None else kept
        return self.sparsifier.place_bytes(count, sent) + self.quantiser.values_bytes(sent)

    def size_bytes(self, shapes: Iterable[Shape]) -> int:
        return self.sparsifier.header_bytes + super().size_bytes(shapes)

    @property
    def unscaled(self) -> Codec:
        return self.model_copy(update={"codecs": tuple(codec.unscaled for codec in self.codecs)})

    def noise(self, count: int) -> float:
        """Return the sparsifier's bound, enlarged by what rounding adds to what is kept of its output."""
        kept = self.sparsifier.kept(count)
        chosen, rounded = self.sparsifier.noise(count), self.quantiser.noise(kept)
        return (1.0 + chosen) * (1.0 + rounded) - 1.0


AnyCodec = Annotated[Codec, Kinds(Codec, *_PLAIN, Layers)]


class Compression(Section):
    """What goes over the wire in the place of float32.

    `error_feedback`: a client adds to its update what its last ones did not bring over. What goes down is
    the difference to what the client holds, in which that is contained.

    `uplink`: the codec of what clients send; none means float32. `downlink`: the codec of what they are
    sent; none means float32.
    """

    uplink: AnyCodec | None = None
    downlink: AnyCodec | None = None
    error_feedback: bool = True

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if there is nothing to compress."""
        if scenario.training is None:
            why = (
                "there are no updates to compress without training; in a synthetic workload, download and "
                "upload are the bytes on the wire"
            )
            raise misfit(("compression",), None, why)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.uplink is None and self.downlink is None:
            raise misfit((), None, "give a codec for uplink or downlink, or leave the section out")
        if self.downlink is not None and self.downlink.varies:
            why = (
                f"{self.downlink.kind} on the way down has no size that is known when a client is asked; "
                "it is for the uplink"
            )
            raise misfit(("downlink", "kind"), self.downlink.kind, why)
        return self
