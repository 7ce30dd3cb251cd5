"""Any torch module, trained for many clients at once by code that torch compiles for it.

Torch keeps what it compiles in a cache on disk, for the next run.
"""

import logging

import torch._inductor
from torch import Tensor
from torch.fx import GraphModule

from flsim.learn.executors.executor import Recipe
from flsim.learn.executors.vectorised import Program, Vectorised

_log = logging.getLogger(__name__)


class Compiled(Vectorised):
    """As `Vectorised`, compiled. Where torch cannot compile, it is not, and the log says why."""

    def __init__(self, recipe: Recipe) -> None:
        """Raises CannotStack, as `Vectorised` does."""
        super().__init__(recipe)
        self._possible = True

    def _translated(self, graph: GraphModule, inputs: list[Tensor]) -> Program:
        """Return what runs a trace: machine code. One call at a time: the tracing is locked."""
        if self._possible:
            try:
                # Not torch.compile: what it checks at each call is not safe among threads.
                program: Program = torch._inductor.compile(graph, [*inputs])
                program(*inputs)  # which is when some of what is missing is missed
            except Exception as error:  # whatever goes wrong in a compiler, there is a way without it
                self._possible = False
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                _log.warning(
                    "executor compile: torch cannot compile this model, so it runs as vmap: %s", reason
                )
            else:
                return program
        return super()._translated(graph, inputs)
