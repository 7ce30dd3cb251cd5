"""The central test of a model."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from threading import local

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from flsim.learn.weights import Layout
from flsim.records import Evaluation

# What a convolution makes of more samples leaves the cache; a product of matrices wants many.
_PICTURES, _VECTORS = 32, 256
_Part = tuple[int, float]  # how many are right, and the sum of the losses


class CentralTest:
    """Tests weights on the held-out samples: `x` [samples, ...], `y` [samples].

    In threads of its own, one for each core: while they test, the run goes on and trains what comes next.
    The samples are cut without regard to their number, so the result is the same on any machine.
    """

    def __init__(self, module: nn.Module, layout: Layout, x: Tensor, y: Tensor) -> None:
        batch = _PICTURES if convolves(module) else _VECTORS
        self._module = module.eval()
        self._layout = layout
        self._x = torch.split(x, batch)
        self._y = torch.split(y, batch)
        self._samples = len(y)
        self._threads = local()
        self._pool = ThreadPoolExecutor(os.cpu_count(), "test", torch.set_num_threads, (1,))

    def begin(self, flat: Tensor) -> Callable[[], Evaluation]:
        """Begin to test the weights [parameters], which nobody may change; return what gives the result."""
        parameters = self._layout.views(flat)
        parts = [
            self._pool.submit(self._test, parameters, x, y) for x, y in zip(self._x, self._y, strict=True)
        ]
        return lambda: self._mean(parts)

    def evaluate(self, flat: Tensor) -> Evaluation:
        """Return accuracy and mean cross-entropy of the weights [parameters]."""
        return self.begin(flat)()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    @torch.no_grad()
    def _test(self, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> _Part:
        if not hasattr(self._threads, "module"):
            # A call swaps the module's parameters for those it is given: each thread needs a module.
            self._threads.module = deepcopy(self._module)
        scores = functional_call(self._threads.module, parameters, x)
        right = int((scores.argmax(dim=1) == y).sum())
        return right, float(cross_entropy(scores, y, reduction="sum"))

    def _mean(self, parts: Sequence[Future[_Part]]) -> Evaluation:
        done = [part.result() for part in parts]
        right, loss = sum(right for right, _ in done), sum(loss for _, loss in done)
        return Evaluation(accuracy=right / self._samples, loss=loss / self._samples)


def convolves(module: nn.Module) -> bool:
    """Return whether a module has two-dimensional convolutions."""
    return any(isinstance(part, nn.Conv2d) for part in module.modules())
