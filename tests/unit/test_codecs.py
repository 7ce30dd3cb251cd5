"""Codecs, one by one, against numpy: what is kept, what it is rounded to, and what comes of odd tensors."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from flsim.errors import ScenarioError
from flsim.learn.compression import Circumstances, check, decode, encode
from flsim.learn.compression.rule import places, quantise, restore
from flsim.scenario import compression as specs
from flsim.scenario.codec import Shape, share_of
from tests.wire import Reals

CODECS: list[specs.Codec] = [
    specs.TopK(share=0.1),
    specs.RandomK(share=0.1),
    specs.RandomK(share=0.1, unbiased=True),
    specs.Threshold(value=0.5),
    specs.Float16(),
    specs.BFloat16(),
    specs.MinMax(bits=3),
    specs.Qsgd(levels=4),
    specs.Sign(),
    specs.LowRank(rank=2),
    specs.Layers(codecs=(specs.TopK(share=0.1), specs.MinMax(bits=8))),
    specs.Layers(codecs=(specs.Threshold(value=0.5), specs.Qsgd(levels=7))),
]
each_codec = pytest.mark.parametrize("spec", CODECS, ids=str)


def passed(spec: specs.Codec, tensor: Tensor, **given: Any) -> Tensor:
    piece = encode(spec, tensor, Circumstances(**given))
    return decode(spec, piece, tuple(tensor.shape))


def normal(*shape: int, seed: int = 0) -> Reals:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# What is kept


@pytest.mark.parametrize("count", [1, 2, 9, 10, 100, 1001])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("steps", [None, 2], ids=["all differ", "many ties"])
def test_top_k_keeps_the_largest_and_of_equals_the_first(
    count: int, share: float, steps: int | None
) -> None:
    values = normal(count, seed=count)
    if steps is not None:
        values = np.round(values * steps) / steps
    kept = max(1, int(np.ceil(np.round(share * count, 9))))
    expected = np.sort(np.lexsort((np.arange(count), -np.abs(values)))[:kept])
    found = places(specs.TopK(share=share), torch.tensor(values), Circumstances())
    assert found.tolist() == expected.tolist()
    arrived = passed(specs.TopK(share=share), torch.tensor(values)).numpy()
    assert np.array_equal(arrived[expected], values[expected])
    assert not np.delete(arrived, expected).any()


@pytest.mark.parametrize(
    ("share", "count", "kept"), [(0.07, 100, 7), (0.01, 4096, 41), (0.01, 10, 1), (1.0, 5, 5), (0.3, 0, 0)]
)
def test_how_many_a_share_is(share: float, count: int, kept: int) -> None:
    """0.07 x 100 is 7, though it is a little more in binary."""
    assert share_of(share, count) == kept


def test_random_k_sends_each_place_as_often_as_any_other() -> None:
    """4,000 draws of 3 of 10: a place is drawn 1,200 times, give or take 5 standard deviations of 29."""
    spec, values, drawn = specs.RandomK(share=0.3), torch.zeros(10), np.zeros(10)
    for seed in range(4000):
        drawn[places(spec, values, Circumstances(seed)).numpy()] += 1
    assert np.abs(drawn - 1200).max() < 5 * np.sqrt(4000 * 0.3 * 0.7)


def test_a_threshold_keeps_what_reaches_it() -> None:
    values = torch.tensor([0.5, -0.5, 0.4999, -3.0, 0.0])
    assert passed(specs.Threshold(value=0.5), values).tolist() == [0.5, -0.5, 0.0, -3.0, 0.0]


# What it is rounded to


def test_halves_are_those_of_ieee_and_of_the_upper_sixteen_bits() -> None:
    values = np.concatenate([normal(1000), np.array([65504, 1e-7, -1e-8, 0, 3e38], np.float32)])
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    assert np.array_equal(passed(specs.Float16(), torch.tensor(values)).numpy(), expected)
    bits = values.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32)
    assert np.array_equal(passed(specs.BFloat16(), torch.tensor(values)).numpy(), rounded.view(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 8, 16])
def test_min_max_goes_to_the_nearest_step(bits: int) -> None:
    values = normal(1000)
    steps = np.linspace(float(values.min()), float(values.max()), 2**bits)
    nearest = steps[np.abs(values[:, None].astype(float) - steps).argmin(1)]
    arrived = passed(specs.MinMax(bits=bits), torch.tensor(values)).numpy()
    np.testing.assert_allclose(arrived, nearest, rtol=0, atol=1e-6)
    assert len(np.unique(arrived)) <= 2**bits
    assert arrived.min() == values.min()
    assert arrived.max() == pytest.approx(values.max(), rel=1e-6)


@pytest.mark.parametrize("levels", [1, 7, 127])
def test_qsgd_goes_to_one_of_the_two_levels_around_a_value(levels: int) -> None:
    values = normal(500)
    unit = np.linalg.norm(values.astype(float)) / levels
    exact = np.abs(values) / unit
    drawn = np.random.Generator(np.random.Philox(key=9 + ((3 * 2 + 1) << 64))).random(500, np.float32)
    expected = np.sign(values) * (np.floor(exact) + (drawn < exact - np.floor(exact))) * unit
    arrived = passed(specs.Qsgd(levels=levels), torch.tensor(values), seed=9, number=2).numpy()
    np.testing.assert_allclose(arrived, expected, rtol=1e-5, atol=1e-7)


def test_signs_have_the_mean_magnitude() -> None:
    values = normal(40, 25)
    expected = np.where(values >= 0, 1, -1) * np.abs(values).mean()
    np.testing.assert_allclose(passed(specs.Sign(), torch.tensor(values)).numpy(), expected, rtol=1e-6)
    zeros = torch.tensor([0.0, -0.0, 2.0, -2.0])
    assert passed(specs.Sign(), zeros).tolist() == [1.0, 1.0, 1.0, -1.0]


def deviation(spec: specs.Quantiser | specs.Sparsifier, draws: int) -> tuple[float, float]:
    """Return how far the mean of what arrives is off, in standard errors: root mean square and largest."""
    values = torch.tensor(normal(50))
    arrived = torch.stack([passed(spec, values, seed=seed).double() for seed in range(draws)])
    errors = (arrived.mean(0) - values) / (arrived.std(0) / draws**0.5)
    return float(errors.square().mean().sqrt()), float(errors.abs().max())


@pytest.mark.parametrize("levels", [1, 4])
def test_qsgd_is_right_in_the_mean(levels: int) -> None:
    """3,000 draws of 50 values: errors of one standard error, and none of more than five."""
    root_mean_square, largest = deviation(specs.Qsgd(levels=levels), 3000)
    assert root_mean_square < 1.5
    assert largest < 5


def test_unbiased_random_k_is_right_in_the_mean_and_the_other_is_not() -> None:
    root_mean_square, largest = deviation(specs.RandomK(share=0.2, unbiased=True), 3000)
    assert root_mean_square < 1.5
    assert largest < 5
    assert deviation(specs.RandomK(share=0.2), 3000)[0] > 5


def test_the_noise_of_qsgd_is_within_its_bound() -> None:
    spec, values = specs.Qsgd(levels=4), torch.tensor(normal(200))
    errors = [float((passed(spec, values, seed=seed) - values).square().sum()) for seed in range(300)]
    assert np.mean(errors) < spec.noise(200) * float(values.square().sum())
    assert spec.noise(200) == pytest.approx(min(200 / 16, 200**0.5 / 4))


# Factors


def projected(matrix: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix projected on the span of its product with `start`, by a least-squares solution."""
    span = matrix @ start
    found: NDArray[np.float64] = span @ np.linalg.lstsq(span, matrix, rcond=None)[0]
    return found


def test_low_rank_is_a_power_iteration_from_where_the_last_one_ended() -> None:
    spec, shape = specs.LowRank(rank=2), (12, 3, 5)
    first, second = normal(*shape), normal(*shape, seed=1)
    start = np.random.Generator(np.random.Philox(key=4 + ((3 * 1 + 2) << 64)))
    drawn = start.standard_normal((15, 2), dtype=np.float32).astype(float)
    piece = encode(spec, torch.tensor(first), Circumstances(4, 1))
    expected = projected(first.reshape(12, 15).astype(float), drawn)
    np.testing.assert_allclose(decode(spec, piece, shape).numpy().reshape(12, 15), expected, atol=1e-4)
    kept = piece.values[12 * 2 :].view(15, 2)
    again = projected(second.reshape(12, 15).astype(float), kept.numpy().astype(float))
    arrived = passed(spec, torch.tensor(second), seed=5, number=1, remembered=kept)
    np.testing.assert_allclose(arrived.numpy().reshape(12, 15), again, atol=1e-4)


def test_low_rank_finds_a_matrix_of_its_rank_at_once_and_the_best_one_in_time() -> None:
    spec = specs.LowRank(rank=2)
    product = torch.tensor(normal(20, 2) @ normal(2, 30, seed=1))
    torch.testing.assert_close(passed(spec, product), product, rtol=1e-4, atol=1e-4)
    matrix = torch.tensor(normal(20, 30))
    piece = encode(spec, matrix, Circumstances())
    for _ in range(200):
        kept = piece.values[40:].view(30, 2)
        piece = encode(spec, matrix, Circumstances(remembered=kept))
    u, s, v = np.linalg.svd(matrix.numpy())
    best = u[:, :2] * s[:2] @ v[:2]
    np.testing.assert_allclose(decode(spec, piece, (20, 30)).numpy(), best, atol=0.02)


@pytest.mark.parametrize("shape", [(), (7,), (1, 9), (3, 3), (4, 1, 1)])
def test_low_rank_sends_what_would_not_become_smaller_as_it_is(shape: Shape) -> None:
    spec, tensor = specs.LowRank(rank=2), torch.tensor(normal(*shape))
    assert torch.equal(passed(spec, tensor), tensor)
    assert spec.tensor_bytes(shape) == 4 * tensor.numel()


def test_a_matrix_of_zeros_does_not_end_a_power_iteration() -> None:
    spec, zeros, matrix = specs.LowRank(rank=2), torch.zeros(6, 8), torch.tensor(normal(6, 8))
    kept = encode(spec, zeros, Circumstances()).values[12:].view(8, 2)
    assert not kept.any()
    kept = encode(spec, matrix, Circumstances(remembered=kept)).values[12:].view(8, 2)
    assert torch.linalg.matrix_rank(kept) == 2


# Odd tensors


@each_codec
@pytest.mark.parametrize("shape", [(1,), (), (30,), (6, 8)])
def test_zeros_stay_zeros(spec: specs.Codec, shape: Shape) -> None:
    arrived = passed(spec, torch.zeros(shape))
    assert arrived.shape == shape
    assert not arrived.any()


@each_codec
@pytest.mark.parametrize("value", [3.0, -3.0, 1e-30])
def test_a_single_value(spec: specs.Codec, value: float) -> None:
    arrived = float(passed(spec, torch.tensor([value])))
    if isinstance(spec, specs.Float16 | specs.Threshold | specs.Layers) and value == 1e-30:
        assert arrived in (0.0, pytest.approx(value))  # too small for it
    else:
        assert arrived == pytest.approx(value, rel=0.01)


@each_codec
def test_a_tensor_without_values(spec: specs.Codec) -> None:
    assert passed(spec, torch.zeros(0)).shape == (0,)
    assert spec.tensor_bytes((0,)) in (0, 4)


@each_codec
def test_magnitudes_whose_squares_float32_cannot_hold(spec: specs.Codec) -> None:
    for size in (1e-25, 1e25):
        values = torch.tensor(normal(6, 8)) * size
        arrived = passed(spec, values)
        assert not arrived.isnan().any()
        assert isinstance(spec, specs.Float16) or bool(arrived.isfinite().all())
        if not isinstance(spec, specs.Float16 | specs.Threshold | specs.Layers):
            assert arrived.any()


class Mine(specs.Codec):
    """A user's codec, of which nothing is registered but its sizes."""

    def tensor_bytes(self, shape: Shape, kept: int | None = None) -> int:
        return 1


class MySparsifier(specs.Sparsifier):
    """The same of a sparsifier."""

    def kept(self, count: int) -> int:
        return 1


class MyQuantiser(specs.Quantiser):
    """The same of a quantiser."""

    def values_bytes(self, count: int) -> int:
        return count


def test_what_no_codec_knows() -> None:
    mine, nothing = Mine(kind="mine"), Circumstances()
    piece = encode(specs.Sign(), torch.zeros(1), nothing)
    with pytest.raises(TypeError, match="no such codec: Mine"):
        encode(mine, torch.zeros(1), nothing)
    with pytest.raises(TypeError, match="no such codec: Mine"):
        decode(mine, piece, (1,))
    with pytest.raises(TypeError, match="no such sparsifier: MySparsifier"):
        encode(MySparsifier(kind="mine"), torch.zeros(1), nothing)
    with pytest.raises(TypeError, match="no such quantiser: MyQuantiser"):
        quantise(MyQuantiser(kind="mine"), torch.zeros(1), nothing)
    with pytest.raises(TypeError, match="no such quantiser: MyQuantiser"):
        restore(MyQuantiser(kind="mine"), piece)


class Half(specs.Codec):
    """A user's codec that does not say what it takes."""


def test_a_codec_that_does_not_say_what_it_takes_is_refused_with_what_is_missing() -> None:
    path = f"{__name__}:Half"
    with pytest.raises(ValidationError) as refused:
        specs.Compression.model_validate({"uplink": {"kind": path}})
    [details] = refused.value.errors()
    assert "tensor_bytes" in details["msg"]
    assert details["input"] == path


# What cannot be fed back

COARSE = specs.Qsgd(levels=2)
SHAPES: list[Shape] = [(4, 4), (10,)]


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (specs.Compression(uplink=COARSE), "uplink"),
        (specs.Compression(downlink=COARSE, error_feedback=False), "downlink"),
        (specs.Compression(uplink=specs.RandomK(share=0.5, unbiased=True)), "uplink"),
        (
            specs.Compression(uplink=specs.Layers(codecs=(specs.TopK(share=0.5), specs.Qsgd(levels=1)))),
            "uplink",
        ),
    ],
    ids=str,
)
def test_errors_that_would_grow_are_refused(spec: specs.Compression, key: str) -> None:
    with pytest.raises(ScenarioError, match=rf"compression.{key}: the squared error of \w+ may be .* grow"):
        check(spec, SHAPES)


FINE = specs.Qsgd(levels=5)


@pytest.mark.parametrize(
    ("spec", "but_not"),
    [
        (specs.Compression(uplink=COARSE, error_feedback=False), specs.Compression(uplink=COARSE)),
        (
            specs.Compression(uplink=FINE, downlink=FINE),
            specs.Compression(uplink=FINE, downlink=COARSE),
        ),
        (
            specs.Compression(uplink=specs.Layers(codecs=(specs.TopK(share=0.1), COARSE))),
            specs.Compression(uplink=specs.Layers(codecs=(specs.TopK(share=1.0), COARSE))),
        ),
        (
            specs.Compression(uplink=specs.RandomK(share=0.1)),
            specs.Compression(uplink=specs.RandomK(share=0.1, unbiased=True)),
        ),
        (
            specs.Compression(uplink=specs.Layers(codecs=(specs.RandomK(share=0.1), specs.Sign()))),
            specs.Compression(uplink=specs.Layers(codecs=(specs.RandomK(share=1.0), COARSE))),
        ),
        (specs.Compression(downlink=specs.Sign()), specs.Compression(downlink=COARSE)),
    ],
    ids=str,
)
def test_errors_that_stay_bounded_are_not(spec: specs.Compression, but_not: specs.Compression) -> None:
    """Its neighbour, which differs in one thing, is."""
    check(spec, SHAPES)
    with pytest.raises(ScenarioError, match="what is left over would grow from task to task"):
        check(but_not, SHAPES)
