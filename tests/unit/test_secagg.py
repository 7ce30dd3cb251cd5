"""Secure aggregation as a protocol: its sum, what the server holds, and the bytes of its messages."""

import gc
import sys
import types
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flsim.errors import ScenarioError
from flsim.secagg import shamir, sizes
from flsim.secagg.client import Client
from flsim.secagg.fixed_point import FixedPoint, Words, packed, reduced, unpacked
from flsim.secagg.graph import Neighbours, complete, sparse
from flsim.secagg.messages import pair_from_bytes, pair_to_bytes
from flsim.secagg.secrets import Randomness, library, opened, sealed
from flsim.secagg.server import Server, TooFewError
from flsim.secagg.session import carried_out
from flsim.tasks import SecureSession

PARAMETERS = 23


def inputs_of(clients: Any, code: FixedPoint, seed: int = 0) -> dict[int, Words]:
    draws = np.random.default_rng(seed)
    return {client: code.encoded(draws.normal(0, 0.5, PARAMETERS)) for client in clients}


def whole_number_sum(inputs: Any, bits: int) -> list[int]:
    return [sum(int(one[place]) for one in inputs) % 2**bits for place in range(PARAMETERS)]


# Fixed point


@given(
    st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=1, max_size=12),
    st.integers(1, 24),
    st.sampled_from([0.25, 1.0, 2.0]),
)
def test_a_sum_of_encoded_vectors_is_the_sum_of_their_rounded_values(
    rows: list[list[float]], precision: int, limit: float
) -> None:
    code = FixedPoint(limit, precision, len(rows))
    total = np.zeros(3, np.uint64)
    for row in rows:
        total = reduced(total + code.encoded(np.array(row)), code.bits)
    wanted = []
    for column in zip(*rows, strict=True):
        scaled = (round(Fraction(value) * 2**precision) for value in column)
        most = round(limit * 2**precision)
        wanted.append(float(Fraction(sum(max(-most, min(most, one)) for one in scaled), 2**precision)))
    assert code.decoded(total).tolist() == wanted


def test_the_modulus_is_the_smallest_power_of_two_in_which_no_sum_wraps() -> None:
    for summands, precision in [(2, 3), (10, 16), (100, 16), (127, 1), (128, 1), (500, 20)]:
        code = FixedPoint(1.0, precision, summands)
        sums = 2 * summands * 2**precision + 1  # from -n x M to n x M
        assert 2 ** (code.bits - 1) < sums <= 2**code.bits
        top = np.full(1, summands * code.largest, np.int64).view(np.uint64)
        for extreme in (top, np.uint64(0) - top):
            value = code.decoded(reduced(extreme, code.bits))
            assert abs(value[0]) == summands


def test_what_is_out_of_range_becomes_the_limit_and_what_is_no_number_zero() -> None:
    code = FixedPoint(2.0, 8, 3)
    values = np.array([5.0, -5.0, np.inf, -np.inf, np.nan])
    assert code.decoded(code.encoded(values)).tolist() == [2.0, -2.0, 2.0, -2.0, 0.0]


@given(st.lists(st.integers(0, 2**62 - 1), max_size=9), st.integers(1, 62))
def test_words_are_packed_without_gaps_and_read_back(values: list[int], bits: int) -> None:
    words = reduced(np.array(values, np.uint64), bits)
    message = packed(words, bits)
    assert len(message) == sizes.masked_up(len(values), bits)
    whole = int.from_bytes(message, "little")
    assert [whole >> (bits * place) & (2**bits - 1) for place in range(len(values))] == words.tolist()
    assert unpacked(message, bits, len(values)).tolist() == words.tolist()


# Shares


def test_the_field_is_one() -> None:
    odd = shamir.PRIME - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    for witness in range(2, 60):  # Miller and Rabin
        powers = [pow(witness, odd << step, shamir.PRIME) for step in range(twos)]
        assert powers[0] == 1 or shamir.PRIME - 1 in powers
    assert shamir.PRIME.bit_length() <= 8 * shamir.SHARE_BYTES


@given(st.binary(min_size=32, max_size=32), st.integers(1, 6), st.data())
def test_any_threshold_of_shares_gives_the_secret(secret: bytes, threshold: int, data: Any) -> None:
    holders = data.draw(st.lists(st.integers(0, 999), min_size=threshold, max_size=9, unique=True))
    coefficients = Randomness(b"x" * 32).coefficients("test", threshold - 1)
    shares = shamir.shares(secret, coefficients, holders)
    for holder, share in shares.items():  # the polynomial, written out
        powers = ((holder + 1) ** (place + 1) * one for place, one in enumerate(coefficients))
        assert share == (int.from_bytes(secret, "big") + sum(powers)) % shamir.PRIME
    some = data.draw(st.permutations(holders))[:threshold]
    assert shamir.secret(shares, shamir.weights(some)) == secret


@pytest.mark.parametrize("coefficient", [0, 1, shamir.PRIME - 1, None])
def test_many_shares_are_those_of_the_polynomial(coefficient: int | None) -> None:
    """So many that they are worked out all at once: of any coefficients, at any points, in any order."""
    draws = np.random.default_rng(5)
    holders = [int(one) for one in draws.permutation(10_000)[:90]]
    others = Randomness(b"z" * 32).coefficients("test", 69)
    coefficients = others if coefficient is None else [coefficient] * 69
    secret = b"\xff" * 32 if coefficient else bytes(range(32))
    shares = shamir.shares(secret, coefficients, holders)
    assert list(shares) == holders
    for holder, share in shares.items():
        powers = (one * pow(holder + 1, place + 1) for place, one in enumerate(coefficients))
        assert share == (int.from_bytes(secret, "big") + sum(powers)) % shamir.PRIME
    assert shamir.secret(shares, shamir.weights(holders[10:80])) == secret


def test_one_share_less_than_the_threshold_gives_something_else() -> None:
    secret = bytes(range(32))
    shares = shamir.shares(secret, Randomness(b"y" * 32).coefficients("test", 2), range(5))
    value = sum(weight * shares[one] for one, weight in shamir.weights([0, 3]).items()) % shamir.PRIME
    assert value != int.from_bytes(secret, "big")


def test_sealed_shares_cannot_be_changed_on_the_way() -> None:
    message = bytearray(sealed(b"k" * 16, 3, b"shares"))
    assert opened(b"k" * 16, 3, bytes(message)) == b"shares"
    message[0] ^= 1
    with pytest.raises(ValueError, match="client 3 are not as they were sealed"):
        opened(b"k" * 16, 3, bytes(message))


# Graphs


@pytest.mark.parametrize(("clients", "neighbours"), [(10, 4), (100, 20), (9, 8), (5, 8)])
def test_a_sparse_graph_is_regular_and_both_ways(clients: int, neighbours: int) -> None:
    names = [3 * client + 1 for client in range(clients)]
    graph = sparse(names, neighbours, np.random.default_rng(1))
    assert sorted(graph.of) == names
    for client, others in graph.of.items():
        assert len(others) == min(neighbours, clients - 1)
        assert client not in others
        assert all(client in graph.of[other] for other in others)


def test_the_order_of_the_ring_is_random() -> None:
    graphs = [sparse(range(12), 4, np.random.default_rng(seed)).of for seed in range(3)]
    assert graphs[0] != graphs[1] != graphs[2]
    assert graphs[0] != {one: frozenset((one + step) % 12 for step in (-2, -1, 1, 2)) for one in range(12)}


# The protocol


def dropouts(least: int, most: int) -> st.SearchStrategy[list[list[int]]]:
    """Who completes each of the four phases, of up to `most` clients with arbitrary ids."""

    @st.composite
    def phases(draw: st.DrawFn) -> list[list[int]]:
        there = draw(st.lists(st.integers(0, 10_000), min_size=least, max_size=most, unique=True))
        found = [there]
        for _ in range(4):
            gone = draw(st.lists(st.sampled_from(found[-1]), max_size=3, unique=True)) if found[-1] else []
            found.append([one for one in found[-1] if one not in gone])
        return found

    return phases()


def suffices(
    graph: Neighbours, threshold: int, shared: set[int], masked: set[int], there: set[int]
) -> bool:
    """Counted anew: everybody's secret that is needed has enough holders who are there."""
    for one in shared:
        holders = {one, *graph.of[one]} & shared & there
        needed = one in masked or any(other in masked for other in graph.of[one])
        if needed and len(holders) < threshold:
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(dropouts(2, 9), st.integers(2, 6), st.sampled_from(["secagg", "secagg_plus"]), st.integers(0, 99))
def test_the_unmasked_sum_is_the_fixed_point_sum_for_any_dropouts(
    phases: list[list[int]], threshold: int, kind: str, seed: int
) -> None:
    members, advertised, shared, masked, answered = phases
    code = FixedPoint(1.0, 12, len(members))
    inputs = inputs_of(members, code, seed)

    def graph(clients: tuple[int, ...]) -> Neighbours:
        if kind == "secagg":
            return complete(clients)
        return sparse(clients, 4, np.random.default_rng(seed))

    session = SecureSession(
        seed, threshold, *(tuple(phase) for phase in (advertised, shared, masked, answered))
    )
    drawn = graph(tuple(advertised))
    sets = [set(phase) for phase in (shared, masked, answered)]
    holders = all(len(others) + 1 >= threshold for others in drawn.of.values())
    possible = holders and all(
        suffices(drawn, threshold, sets[0], *pair)
        for pair in [(sets[0], sets[0]), (sets[1], sets[1]), (sets[1], sets[2])]
    )
    if possible and masked:
        total = carried_out(session, inputs, code.bits, graph, seed)
        assert total.tolist() == whole_number_sum([inputs[one] for one in masked], code.bits)
    elif not possible:
        with pytest.raises(TooFewError, match=f"fewer than {threshold} clients"):
            carried_out(session, inputs, code.bits, graph, seed)


def test_a_session_is_the_same_for_the_same_seed_and_masks_differ_between_sessions() -> None:
    code = FixedPoint(1.0, 12, 4)
    zeros = np.zeros(PARAMETERS, np.uint64)

    def sent(seed: bytes) -> NDArray[np.uint64]:
        ours, theirs = Client(0, 2, Randomness(seed)), Client(1, 2, Randomness(b"other"))
        server = Server(2)
        keys = server.key_lists({one.client: one.advertise() for one in (ours, theirs)}, complete)
        shares = server.routed({one.client: one.share(keys[one.client]) for one in (ours, theirs)})
        return ours.masked(shares[0], zeros, code.bits).words

    assert sent(b"a").tolist() == sent(b"a").tolist()
    assert sent(b"a").tolist() != sent(b"b").tolist()


# What the server holds


def reachable(root: object) -> Iterator[object]:
    """Everything that is held by an object, but for code."""
    seen, ahead = set(), [root]
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, type | types.ModuleType | types.FunctionType):
            continue
        seen.add(id(one))
        yield one
        ahead += gc.get_referents(one)


@pytest.mark.parametrize("lost", [None, "share", "mask", "unmask"])
def test_the_server_never_holds_what_equals_a_single_update(lost: str | None) -> None:
    everybody = list(range(6))
    code = FixedPoint(1.0, 12, len(everybody))
    inputs = inputs_of(everybody, code)
    forbidden = {inputs[one].tobytes() for one in everybody}
    forbidden |= {code.decoded(inputs[one]).tobytes() for one in everybody}
    clients = {one: Client(one, 4, Randomness(bytes([one]))) for one in everybody}
    server, looks = Server(4), 0

    def look() -> None:
        nonlocal looks
        for held in reachable(server):
            if isinstance(held, np.ndarray):
                assert held.tobytes() not in forbidden
                looks += 1
            elif isinstance(held, bytes):
                assert held not in forbidden

    keys = server.key_lists({one: clients[one].advertise() for one in everybody}, complete)
    look()
    sharing = [one for one in everybody if not (lost == "share" and one == 2)]
    shares = server.routed({one: clients[one].share(keys[one]) for one in sharing})
    look()
    masking = [one for one in sharing if not (lost == "mask" and one == 2)]
    for one in masking:
        server.take(one, clients[one].masked(shares[one], inputs[one], code.bits))
        look()
    survivors = server.survivors()
    answering = [one for one in masking if not (lost == "unmask" and one == 2)]
    total = server.unmasked({one: clients[one].unmask(survivors[one]) for one in answering})
    look()
    assert total.tolist() == whole_number_sum([inputs[one] for one in masking], code.bits)
    assert looks > len(masking)


def test_no_client_gives_shares_of_both_secrets_of_another() -> None:
    everybody = range(5)
    clients = {one: Client(one, 3, Randomness(bytes([one]))) for one in everybody}
    server = Server(3)
    keys = server.key_lists({one: clients[one].advertise() for one in everybody}, complete)
    shares = server.routed({one: clients[one].share(keys[one]) for one in everybody})
    for one in (0, 1, 2, 3):
        server.take(one, clients[one].masked(shares[one], np.zeros(3, np.uint64), 9))
    survivors = server.survivors()
    answers = {one: clients[one].unmask(survivors[one]) for one in (0, 1, 2)}
    assert all(sorted(answer.shares) == [0, 1, 2, 3, 4] for answer in answers.values())
    held = clients[4]._masking
    counted = shamir.weights((0, 1, 2))
    assert shamir.secret({one: answers[one].shares[4] for one in (0, 1, 2)}, counted) == held
    seed = clients[3]._seed
    assert shamir.secret({one: answers[one].shares[3] for one in (0, 1, 2)}, counted) == seed


# Bytes


@pytest.mark.parametrize(
    ("count", "kind"),
    [
        (10, "secagg"),
        (10, "secagg_plus"),
        (100, "secagg"),
        (100, "secagg_plus"),
        pytest.param(500, "secagg", marks=pytest.mark.slow),  # half a million agreements on keys
        (500, "secagg_plus"),
    ],
)
def test_messages_take_what_the_formulas_say(count: int, kind: str) -> None:
    """With the first client gone after its keys, the second after its shares, the third after its input.

    The messages are those of a session that comes to its sum.
    """
    code = FixedPoint(1.0, 16, count)
    k = count - 1 if kind == "secagg" else 6
    graph = (
        complete(range(count)) if kind == "secagg" else sparse(range(count), k, np.random.default_rng(2))
    )
    threshold = 4 if k == 6 else 2 * (k + 1) // 3
    clients = {one: Client(one, threshold, Randomness(str(one).encode())) for one in range(count)}
    server = Server(threshold)
    advertised = {one: clients[one].advertise() for one in clients}
    assert {len(message.to_bytes()) for message in advertised.values()} == {64}
    keys = server.key_lists(advertised, lambda _: graph)
    assert {len(message.to_bytes()) for message in keys.values()} == {sizes.keys_down(k)} == {68 * k}
    sharing = set(range(1, count))
    shares = {one: clients[one].share(keys[one]) for one in sharing}
    assert {len(message.to_bytes()) for message in shares.values()} == {sizes.shares_up(k)} == {94 * k}
    routed = server.routed(shares)
    for one, received in routed.items():
        assert len(received.to_bytes()) == sizes.shares_down(graph.degree(one, sharing))
    masking = sharing - {1}
    for one in masking:
        masked = clients[one].masked(routed[one], np.full(PARAMETERS, one, np.uint64), code.bits)
        assert len(masked.to_bytes()) == sizes.masked_up(PARAMETERS, code.bits)
        server.take(one, masked)
    survivors = server.survivors()
    for one, message in survivors.items():
        assert len(message.to_bytes()) == sizes.survivors_down(graph.degree(one, masking))
    answers = {one: clients[one].unmask(survivors[one]) for one in masking - {2}}
    for one, answer in answers.items():
        assert len(answer.to_bytes()) == sizes.unmasking_up(graph.degree(one, sharing))
        assert len(answer.to_bytes()) == 37 * (len(graph.of[one] & sharing) + 1)
    assert server.unmasked(answers).tolist() == [sum(masking)] * PARAMETERS


@pytest.mark.parametrize(
    ("clients", "up", "down"),
    [(10, 1_280, 1_494), (100, 13_070, 16_434), (500, 65_470, 82_834)],
)
def test_what_a_client_of_secagg_sends_and_receives_beside_its_input(
    clients: int, up: int, down: int
) -> None:
    others = clients - 1
    assert sizes.keys_up() + sizes.shares_up(others) + sizes.unmasking_up(others) == up
    assert up == 64 + 94 * others + 37 * clients
    assert (
        sizes.keys_down(others) + sizes.shares_down(others) + sizes.survivors_down(others)
        == down
        == 166 * others
    )


def test_the_key_of_who_dropped_out_must_be_to_be_had_too() -> None:
    """On a ring, a client whose one neighbour dropped out with it has a mask that nobody can take off."""
    ring = Neighbours({one: frozenset({(one - 1) % 6, (one + 1) % 6}) for one in range(6)})
    shared, masked = set(range(6)), {0, 1, 4, 5}
    assert not ring.recoverable(2, shared, masked, masked)
    assert ring.recoverable(2, shared - {2, 3}, masked, masked)
    assert ring.recoverable(2, shared, masked | {3}, masked | {3})


def test_shares_of_several_secrets_are_no_secret() -> None:
    counted = shamir.weights((0, 1))
    ones = (shamir.PRIME - 1) * pow(sum(counted.values()), -1, shamir.PRIME) % shamir.PRIME
    with pytest.raises(ValueError, match="these are not enough shares of one secret"):
        shamir.secret({0: ones, 1: ones}, counted)


def test_shares_are_for_whom_they_were_sealed() -> None:
    plain = pair_to_bytes(3, 5, 17, 2**100)
    assert pair_from_bytes(plain, 3, 5) == (17, 2**100)
    for sender, receiver in ((5, 3), (3, 4), (2, 5)):
        with pytest.raises(ValueError, match=f"not the shares of client {sender} for client {receiver}"):
            pair_from_bytes(plain, sender, receiver)


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ScenarioError, match=r"pip install 'flsim-des\[secagg\]'; mode fast does without"):
        library()
