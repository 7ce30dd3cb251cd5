"""Models as files for other programs: `NAME.pt`, which torch loads, and the same as `NAME.safetensors`."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from flsim.errors import RunError
from flsim.learn.state import State
from flsim.learn.weights import weights_of
from flsim.tasks import Evaluation


class BestModel:
    """Owns the weights of the version whose test was best: by accuracy or, where there is none, by loss."""

    def __init__(self) -> None:
        self._score: tuple[float, int] | None = None
        self.weights: Tensor | None = None
        """Its weights [parameters]; None before any test."""

    def tested(self, version: int, weights: Tensor, evaluation: Evaluation) -> None:
        """Take note of a version's test. Of two that are as good, the earlier one stays."""
        worth = -evaluation.loss if evaluation.accuracy is None else evaluation.accuracy
        if self._score is None or (worth, -version) > self._score:
            self._score, self.weights = (worth, -version), weights

    def state(self) -> State:
        return {"score": self._score, "weights": self.weights}

    def restore(self, state: State) -> None:
        self._score = None if state["score"] is None else tuple(state["score"])
        self.weights = state["weights"]


def other_entries(module: nn.Module) -> dict[str, Tensor]:
    """Return what a module's state has beside its weights, and beside parameters that are frozen."""
    known = {name for name, _ in module.named_parameters()} | weights_of(module).keys()
    return {name: entry for name, entry in module.state_dict().items() if name not in known}


def write_model(folder: Path, name: str, entries: Mapping[str, Tensor]) -> None:
    """Write the entries of a module's state to both files. Raises RunError if that fails."""
    from safetensors.torch import save

    own = {key: entry.detach().cpu().clone() for key, entry in entries.items()}
    buffer = io.BytesIO()
    torch.save(own, buffer)
    for suffix, content in ((".pt", buffer.getvalue()), (".safetensors", save(own))):
        path = folder / f"{name}{suffix}"
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
