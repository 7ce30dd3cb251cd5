"""What is remembered of a run's learning, as data: to a file and back.

Whatever owns something that changes as the run goes on has `state`, which returns all of it as plain data,
and `restore`, which takes it over. Data are numbers, text, None, lists, mappings with keys of text or whole
numbers, numpy arrays and tensors. What a tensor is, is written once, however many places it is in.

The file is one of safetensors: the tensors by number, and the data around them as JSON in bytes (`tree`).
So to read it runs no code of anybody's.
Somebody else may have written it: how a tensor lies is checked before any memory is taken for that.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flsim.errors import RunError
from flsim.untrusted import content_of, is_count, json_of

State = Any
"""Plain data, with tensors and arrays in it."""

_TREE = "tree"
_LINE_BYTES = 64  # torch begins a piece of memory at a multiple of these
_FORMAT = {"format": "flsim state 1"}


class Stateful(Protocol):
    """What owns something that changes as the run goes on, and that the rest of the run depends on."""

    def state(self) -> State:
        """Return what there is to remember, to be written at once and not to be changed."""

    def restore(self, state: State) -> None:
        """Take over what another one of the same kind had to remember, and own it from now on."""


def write_state(path: Path, state: State) -> None:
    """Write data to a file. The same data make the same bytes. Raises RunError if that fails."""
    from safetensors.torch import save

    packing = _Packing()
    packed = {"data": packing.packed(state), "tensors": packing.how}
    text = json.dumps(packed, separators=(",", ":")).encode()
    tree = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    try:
        path.write_bytes(save(packing.tensors | {_TREE: tree}, _FORMAT))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def read_state(path: Path) -> State:
    """Return the data of a file. Raises RunError if it is not one of `write_state`."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        loaded = load(content_of(path, most=None))
        tree = json_of(loaded.pop(_TREE).numpy().tobytes())
        tensors = {name: _laid(loaded[name], how) for name, how in tree["tensors"].items()}
        return _unpacked(tree["data"], tensors)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise RunError(f"{path} is not the state of a run: {type(error).__name__}: {why}") from error


class _Packing:
    """Takes tensors out of data. Owns what is written of them."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.how: dict[str, dict[str, object]] = {}  # see `_lie`
        # By where a tensor is. It is held until all is written, so that nothing else comes to be there.
        self._names: dict[tuple[object, ...], tuple[str, Tensor]] = {}
        self._starts: set[int] = set()

    def packed(self, value: State) -> object:
        """Return the data as JSON has it, with the number of a tensor in its place."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Tensor):
            return {"tensor": self._name(value)}
        if isinstance(value, np.ndarray):
            return {"array": self._name(torch.from_numpy(value.copy()))}
        if isinstance(value, Mapping):
            return {"map": [[key, self.packed(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return [self.packed(item) for item in value]
        raise TypeError(f"a {type(value).__name__} is no plain data, and cannot be saved")

    def _name(self, tensor: Tensor) -> str:
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and place in self._names:
            return self._names[place][0]
        name, own = str(len(self.tensors)), tensor.detach().cpu().contiguous()
        is_part = own.untyped_storage().nbytes() != own.nbytes
        if is_part or own.data_ptr() in self._starts:  # safetensors writes none that share their memory
            own = own.clone()
        self._starts.add(own.data_ptr())
        self.tensors[name], self.how[name] = own, _lie(tensor)
        self._names[place] = name, tensor
        return name


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> State:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "map" in value:
        return {key: _unpacked(item, tensors) for key, item in value["map"]}
    if "tensor" in value:
        return tensors[value["tensor"]]
    array: NDArray[Any] = tensors[value["array"]].numpy()
    return array


def _lie(tensor: Tensor) -> dict[str, object]:
    """Return where a tensor is and how it lies there, for which matrix products may round otherwise."""
    how: dict[str, object] = {"device": str(tensor.device)}
    if not tensor.is_contiguous():
        how["stride"] = list(torch.empty_like(tensor).stride())
    if past := tensor.storage_offset() * tensor.element_size() % _LINE_BYTES:
        how["past"] = past
    return how


def _laid(tensor: Tensor, how: Mapping[str, Any]) -> Tensor:
    """Return a tensor in memory of its own that lies as one did: see `_lie`.

    Raises ValueError where none does: what lies beyond a line, on no device, or over itself.
    """
    bytes_past, stride = how.get("past", 0), how.get("stride", tensor.stride())
    if not is_count(bytes_past) or bytes_past >= _LINE_BYTES or torch.device(how["device"]).type == "meta":
        raise ValueError(f"no tensor lies at {how}")
    if "stride" in how and not _is_dense(tensor.shape, stride):
        raise ValueError(f"no tensor of the shape {list(tensor.shape)} has the strides {stride}")
    past = bytes_past // tensor.element_size()
    memory = torch.empty(past + tensor.numel(), dtype=tensor.dtype, device=how["device"])
    return memory.as_strided(tensor.shape, stride, past).copy_(tensor)


def _is_dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Return whether a tensor lies in one piece, with no element over another and none left out."""
    if len(stride) != len(shape) or not all(map(is_count, stride)):
        return False
    reach = 1
    for step, size in sorted(zip(stride, shape, strict=True)):
        if size > 1 and step != reach:
            return False
        reach *= size
    return True
