"""The clients' tests: models on the samples that each client holds out of its training."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flsim.learn.client_data import ClientData
from flsim.learn.evaluation import Examiner, batch_size
from flsim.learn.metrics import Given, Metrics
from flsim.learn.problem import sample_losses, share_right
from flsim.learn.state import State
from flsim.learn.weights import Layout
from flsim.records import ClientEvaluations

_OWN_BYTES = 64 * 2**20  # of the clients' own models that exist at once

Models = Callable[[Tensor, int, Sequence[int]], list[Tensor] | None]
# Of each sample: how much is right, its loss, and what the metrics look at, if they do.
_Part = tuple[NDArray[np.float64], NDArray[np.float32], Given | None]


class ClientTest:
    """Tests a version with every client that has held-out samples, and keeps what comes of it.

    The global model sees all clients' samples in one go, in threads beside what the run does next.
    """

    def __init__(
        self,
        module: nn.Module,
        layout: Layout,
        held_out: ClientData,
        every: int,
        metrics: Metrics | None = None,
    ) -> None:
        """`held_out`: the clients' samples. `every`: every so many versions are tested.

        `metrics`: what is measured beside accuracy and loss.
        """
        self._examiner = Examiner(module)
        self._batch = batch_size(module)
        self._layout = layout
        self._held_out = held_out
        self._every = every
        self._metrics = metrics
        self._measure = _measured if metrics is None or not metrics.read_outputs else _measured_and_kept
        self._tested: list[_Tested] = []
        self._under_way: tuple[_Tests, list[Future[_Part]]] | None = None
        self._latest = -1

    def is_due(self, version: int) -> bool:
        """Return whether a version is one of those that are tested by their number."""
        return version % self._every == 0

    def begin(self, version: int, weights: Tensor, models: Models, dispatched_s: float = 0.0) -> None:
        """Begin to test a version, whose weights [parameters] nobody may change, unless it has been.

        The samples are those that clients had when the last of its tasks was dispatched. `models`: the
        clients' own models, from the weights, the version and the clients; None if they have none.
        These are tested before this returns.
        """
        if version == self._latest:
            return
        self._finish()
        self._latest = version
        group = max(1, _OWN_BYTES // self._layout.size_bytes)
        own: list[_Part] = []
        held_out = self._held_out.at(dispatched_s)
        tests = _Tests.of(version, held_out)
        for start in range(0, len(tests.clients), group):
            clients = tests.clients[start : start + group].tolist()
            made = models(weights, version, clients)
            if made is None:
                self._under_way = tests, self._begin(weights, *held_out.flat)
                return
            begun = [self._begin(model, *held_out.of(c)) for c, model in zip(clients, made, strict=True)]
            own += [part.result() for parts in begun for part in parts]
        self._keep(tests, own)

    def evaluations(self) -> ClientEvaluations:
        """Return what all tests gave, in the order of versions and then of clients."""
        self._finish()
        return self._columns(self._tested)

    def latest(self) -> ClientEvaluations:
        """Return what the last test gave. Waits for it."""
        self._finish()
        return self._columns(self._tested[-1:])

    def _columns(self, tested: "Sequence[_Tested]") -> ClientEvaluations:
        none = np.zeros(0)
        count = np.zeros(0, np.int64)
        versions = [np.full(len(one.tests.clients), one.tests.version) for one in tested]
        return ClientEvaluations(
            version=np.concatenate([count, *versions]),
            client=np.concatenate([count, *(one.tests.clients for one in tested)]),
            samples=np.concatenate([count, *(one.tests.samples for one in tested)]),
            accuracy=np.concatenate([none, *(one.accuracy for one in tested)]),
            loss=np.concatenate([none, *(one.loss for one in tested)]),
            metrics={
                name: np.concatenate([none, *(one.metrics[name] for one in tested)])
                for name in (() if self._metrics is None else self._metrics.names)
            },
        )

    def state(self) -> State:
        """Return what all tests gave. Waits for the one that is under way."""
        self._finish()
        rows = [
            [one.tests.version, one.tests.clients, one.tests.samples, one.accuracy, one.loss, one.metrics]
            for one in self._tested
        ]
        return {"latest": self._latest, "tested": rows}

    def restore(self, state: State) -> None:
        self._latest = state["latest"]
        self._tested = [
            _Tested(_Tests(version, clients, samples), accuracy, loss, metrics)
            for version, clients, samples, accuracy, loss, metrics in state["tested"]
        ]

    def close(self) -> None:
        """End the threads."""
        self._examiner.close()

    def _begin(self, weights: Tensor, x: Tensor, y: Tensor) -> list[Future[_Part]]:
        parameters = self._layout.views(weights)
        pieces = zip(torch.split(x, self._batch), torch.split(y, self._batch), strict=True)
        return [self._examiner.submit(self._measure, parameters, *piece) for piece in pieces]

    def _finish(self) -> None:
        """Wait for the test that is under way."""
        if self._under_way is not None:
            (tests, parts), self._under_way = self._under_way, None
            self._keep(tests, [part.result() for part in parts])

    def _keep(self, tests: "_Tests", parts: Sequence[_Part]) -> None:
        """Sum up the samples, which are in the order of their clients."""
        if not parts:
            return
        starts = np.cumsum(tests.samples) - tests.samples
        right = np.add.reduceat(np.concatenate([right for right, _, _ in parts]), starts)
        losses = np.concatenate([losses for _, losses, _ in parts])
        loss = np.add.reduceat(losses, starts, dtype=np.float64) / tests.samples
        metrics = {}
        if self._metrics is not None:
            given = Given.joined(given for _, _, given in parts)
            metrics = _metrics_of(self._metrics, given, starts.tolist(), loss.tolist())
        self._tested.append(_Tested(tests, right / tests.samples, loss, metrics))


@dataclass(frozen=True)
class _Tests:
    """Who tests a version, on how many samples: [clients]."""

    version: int
    clients: NDArray[np.int64]
    samples: NDArray[np.int64]

    @classmethod
    def of(cls, version: int, held_out: ClientData) -> "_Tests":
        """Return the tests of all clients that have samples for them."""
        sizes = np.array(held_out.sizes, np.int64)
        clients = np.flatnonzero(sizes)
        return cls(version, clients, sizes[clients])


@dataclass(frozen=True)
class _Tested:
    """What one version's tests gave: [clients]."""

    tests: _Tests
    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    metrics: dict[str, NDArray[np.float64]]


def _metrics_of(
    metrics: Metrics, given: Given | None, starts: Sequence[int], losses: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Return each metric of all clients, whose samples start there: [clients], NaN if undefined."""
    pieces = [None] * len(starts) if given is None else given.cut(starts[1:])
    of_each = [metrics.values(piece, loss) for piece, loss in zip(pieces, losses, strict=True)]
    # None, which says undefined, becomes NaN.
    return {name: np.array([each[name] for each in of_each], np.float64) for name in metrics.names}


def _measured(scores: Tensor, y: Tensor) -> _Part:
    right = share_right(scores, y).cpu().numpy()
    return right, sample_losses(scores, y).float().cpu().numpy(), None


def _measured_and_kept(scores: Tensor, y: Tensor) -> _Part:
    right, losses, _ = _measured(scores, y)
    return right, losses, Given.of(scores, y)
