"""FlexLoRA: the mean of the matrices that adapters stand for, as an adapter again.

Reference: Bai et al., "Federated Fine-tuning of Large Language Models under Heterogeneous Tasks and Client
Resources", NeurIPS 2024. The best adapter of a rank: Eckart and Young, "The approximation of one matrix by
another of lower rank", Psychometrika 1936.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flsim.learn.aggregations.rule import Combined, Contribution, Population, combine
from flsim.learn.memory import Memory
from flsim.scenario.lora_aggregation import FlexLora

_NEXT_TO_NOTHING = 1e-9  # round-off of weights that sum to 1
_ROUND_OFF = 1e-12  # of singular values in float64: below it, a matrix has none


@combine.register
def flexlora(
    spec: FlexLora, contributions: Sequence[Contribution], memory: Memory, population: Population
) -> Combined:
    """Return the update to adapters whose products are the mean of the clients'.

    Updates are measured against the current version. Where the weights sum to W, that counts 1 - W.
    """
    adapters, current = population.adapters, population.current
    assert adapters is not None and current is not None  # noqa: S101, PT018 - the scenario is checked
    weights = tuple(each.weight for each in contributions)
    clients = [adapters.held(each.task.client, current + each.update) for each in contributions]
    terms = list(zip(weights, clients, strict=True))
    if abs(rest := 1 - math.fsum(weights)) > _NEXT_TO_NOTHING:
        terms.append((rest, current))
    made = current.clone()  # of which every weight is in an adapter, and made anew
    views = adapters.layout.views(made)
    parts = [(weight, adapters.layout.views(flat)) for weight, flat in terms]
    before = adapters.layout.views(current)
    lost = total = 0.0
    for first, second in adapters.pairs:
        products = [(weight, view[second], view[first]) for weight, view in parts]
        factors = factorised(products, before[first])
        views[first].copy_(factors.a)
        views[second].copy_(factors.b)
        lost += factors.lost
        total += factors.total
    return Combined(made - current, weights, lost=math.sqrt(lost / total) if total else 0.0)


@dataclass(frozen=True)
class Factors:
    """A [rank, in] with orthonormal rows and B [out, rank]; squared norms of what they lack, and of all."""

    a: Tensor
    b: Tensor
    lost: float
    total: float


def factorised(products: Sequence[tuple[float, Tensor, Tensor]], spare: Tensor) -> Factors:
    """Return the best factors of the sum of weight x B A, given as (weight, B, A).

    The rows of A are in the order of their singular values, which are in B. So an adapter begins as it
    does at first: where B is zero, A is not. Where the sum has a lower rank than `spare` [rank, in], the
    rest of A is that of `spare`.
    """
    left = torch.cat([weight * b.double() for weight, b, _ in products], dim=1)
    right = torch.cat([a.double() for _, _, a in products])
    # Of a product of thin matrices, the singular values are those of a small one.
    q_left, r_left = torch.linalg.qr(left)
    q_right, r_right = torch.linalg.qr(right.T)
    u, values, v = torch.linalg.svd(r_left @ r_right.T, full_matrices=False)
    there = int((values > _ROUND_OFF * values[0]).sum())
    rank = min(len(spare), there)
    a, b = spare.double().clone(), left.new_zeros(len(left), len(spare))
    a[:rank] = (v @ q_right.T)[:rank]
    b[:, :rank] = (q_left @ u)[:, :rank] * values[:rank]
    signs = _signs(a[:rank])
    a[:rank] *= signs.unsqueeze(1)
    b[:, :rank] *= signs
    squares = values.square()
    return Factors(a.float(), b.float(), float(squares[rank:].sum()), float(squares.sum()))


def _signs(rows: Tensor) -> Tensor:
    """Return what makes the largest entry of each row positive: otherwise, their signs are anybody's."""
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True)).squeeze(1)
    return torch.where(largest < 0, -1.0, 1.0)
