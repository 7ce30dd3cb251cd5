"""A model's weights as one flat vector: what versions, updates and the wire consist of.

Floating-point buffers that belong to a module's state, such as the running statistics of a batch
normalisation, are weights as well: training changes them, and the server averages them. Other buffers are
the module's own business, and so are parameters that require no gradient: they are frozen, and stay here.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class Shapes:
    """How weights lie in a flat vector [parameters] of float32, by their names and shapes."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """`shapes`: in the order of the vector."""
        self._shapes = dict(shapes)
        self._sizes = [math.prod(shape) for shape in shapes.values()]
        self.parameters = sum(self._sizes)
        self._signature = repr(sorted(self._shapes.items())).encode()

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each weight by name, in the order of the flat vector."""
        return self._shapes

    @property
    def size_bytes(self) -> int:
        """What the weights take on the wire, as float32."""
        return 4 * self.parameters

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the weights by name as views into `flat`: [parameters] or [..., parameters]."""
        leading = flat.shape[:-1]
        parts: Iterator[Tensor] = iter(torch.split(flat, self._sizes, dim=-1))
        return {name: next(parts).view((*leading, *shape)) for name, shape in self._shapes.items()}

    def sha256(self, flat: Tensor) -> str:
        """Return the hash of names, shapes and little-endian float32 bytes."""
        digest = hashlib.sha256(self._signature)
        digest.update(flat.detach().cpu().numpy().astype("<f4", copy=False).tobytes())
        return digest.hexdigest()


class Layout(Shapes):
    """How a module's parameters, and then its buffers, lie in a flat vector [parameters] of float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__({name: tuple(weight.shape) for name, weight in weights_of(module).items()})
        self.trained = tuple(name for name, weight in module.named_parameters() if weight.requires_grad)
        """The names of those that an optimiser moves."""

    def flatten(self, module: nn.Module) -> Tensor:
        """Return a copy of a module's weights: [parameters] float32."""
        with torch.no_grad():
            return torch.cat([weight.reshape(-1) for weight in weights_of(module).values()])


def is_finite(flat: Tensor) -> bool:
    """Return whether all of a vector is finite. A finite sum, which is quick to have, says so."""
    return bool(flat.sum().isfinite()) or bool(flat.isfinite().all())


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters and its floating-point buffers that belong to its state, by name.

    Parameters that require no gradient are not among them.
    """
    kept = module.state_dict()
    buffers = {
        name: buffer
        for name, buffer in module.named_buffers()
        if name in kept and buffer.is_floating_point()
    }
    parameters = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    return parameters | buffers
