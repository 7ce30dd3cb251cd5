"""A model's weights as one flat vector: what versions, updates and the wire consist of."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Layout:
    """How a module's parameters lie in a flat vector [parameters] of float32."""

    def __init__(self, module: nn.Module) -> None:
        self._shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
        self._sizes = [parameter.numel() for parameter in module.parameters()]
        self.parameters = sum(self._sizes)
        self._signature = repr(sorted(self._shapes.items())).encode()

    @property
    def size_bytes(self) -> int:
        """What the weights take on the wire, as float32."""
        return 4 * self.parameters

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name as views into `flat`: [parameters] or [..., parameters]."""
        leading = flat.shape[:-1]
        parts: Iterator[Tensor] = iter(torch.split(flat, self._sizes, dim=-1))
        return {name: next(parts).view(*leading, *shape) for name, shape in self._shapes.items()}

    def flatten(self, module: nn.Module) -> Tensor:
        """Return a copy of a module's parameters: [parameters] float32."""
        with torch.no_grad():
            return torch.cat([parameter.reshape(-1) for parameter in module.parameters()])

    def sha256(self, flat: Tensor) -> str:
        """Return the hash of names, shapes and little-endian float32 bytes."""
        digest = hashlib.sha256(self._signature)
        digest.update(flat.detach().numpy().astype("<f4", copy=False).tobytes())
        return digest.hexdigest()
