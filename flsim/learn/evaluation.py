"""The central test of a model."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from flsim.learn.weights import Layout
from flsim.records import Evaluation

_BATCH = 1024


class CentralTest:
    """Tests weights on the held-out samples: `x` [samples, ...], `y` [samples].

    In a thread of its own: while it tests, the run goes on and trains what comes next.
    """

    def __init__(self, module: nn.Module, layout: Layout, x: Tensor, y: Tensor) -> None:
        self._module = module.eval()
        self._layout = layout
        self._x = torch.split(x, _BATCH)
        self._y = torch.split(y, _BATCH)
        self._samples = len(y)
        self._thread = ThreadPoolExecutor(1, "test", torch.set_num_threads, (1,))

    def begin(self, flat: Tensor) -> Callable[[], Evaluation]:
        """Begin to test the weights [parameters], which nobody may change; return what gives the result."""
        return self._thread.submit(self.evaluate, flat).result

    def evaluate(self, flat: Tensor) -> Evaluation:
        """Return accuracy and mean cross-entropy of the weights [parameters]."""
        parameters = self._layout.views(flat)
        correct, loss = 0, 0.0
        with torch.no_grad():
            for x, y in zip(self._x, self._y, strict=True):
                scores = functional_call(self._module, parameters, x)
                correct += int((scores.argmax(dim=1) == y).sum())
                loss += float(cross_entropy(scores, y, reduction="sum"))
        return Evaluation(accuracy=correct / self._samples, loss=loss / self._samples)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
