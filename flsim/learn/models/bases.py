"""Bases: language models of transformers, from a configuration or a local folder."""

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.learn.problem import Problem
from flsim.scenario.lora import Base, FolderBase, Llama7BBase, Lora
from flsim.untrusted import MEBIBYTE, read_json

_ATTENTION = "eager"  # plain products, which torch counts, and which vmap carries
_CONFIG = "config.json"
# What would have transformers read further files, or convert weights with further packages.
_NOT_READ = {"adapter_config.json": "adapters of its own", "quantization_config": "quantised weights"}
_MOST_LAYERS = 256  # or experts; the largest models there are have about half as many
_SPARE = 2**22  # bytes
_Stamp = tuple[tuple[str, int, int], ...]


def module_of(name: str) -> Any:
    """Return a module of the extra `llm`. Raises ScenarioError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        why = f"model lora needs {name}, which cannot be imported ({error}): pip install 'flsim-des[llm]'"
        raise ScenarioError(why) from error


def base_network(model: Lora, problem: Problem, places: int) -> nn.Module:
    """Return the base that a model adapts, for texts of so many tokens: the same weights at any time.

    On the meta device it has shapes only. Elsewhere its parameters share their memory with those of every
    other network of the base: nobody may change them. Raises ScenarioError if it cannot be had.
    """
    if torch.get_default_device().type == "meta":
        return _built(model.base, problem.classes, places)
    if isinstance(model.base, Llama7BBase):
        raise ScenarioError(
            f"model.base: {model.base.kind} is the sizes of a model, for which no weights are allocated; "
            "run it with --timing-only, or name a folder that has its weights"
        )
    return _sharing(_kept(model.base, model.seed, problem.classes, places, _stamp(model.base)))


@lru_cache(maxsize=1)
def _kept(base: Base, seed: int, classes: int, places: int, stamp: _Stamp) -> nn.Module:
    """Return a base's own copy. `stamp`: of the files that it is read from."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(Stream(seed, "lora.base").integer(0))
        return _built(base, classes, places).requires_grad_(requires_grad=False)


def _sharing(network: nn.Module) -> nn.Module:
    """Return a copy with parameters in the same memory."""
    return deepcopy(network, shared_parameters(network))


def shared_parameters(network: nn.Module) -> dict[int, Any]:
    """Return a memo for `deepcopy`: the parameters that do not train have their memory in common."""
    frozen = (parameter for parameter in network.parameters() if not parameter.requires_grad)
    return {id(each): nn.Parameter(each.data, requires_grad=False) for each in frozen}


def _built(base: Base, classes: int, places: int) -> nn.Module:
    transformers = module_of("transformers")
    network: nn.Module
    with _quiet(transformers):
        if isinstance(base, FolderBase):
            return _of_folder(transformers, base, classes, places)
        config = transformers.AutoConfig.for_model(
            base.architecture, **base.settings, **_sizes(base, classes, places)
        )
        network = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=_ATTENTION)
    return network


def _sizes(base: Base, classes: int, places: int) -> Mapping[str, object]:
    """Return what follows from the dataset: the vocabulary, and how long texts are."""
    given = getattr(base, "vocabulary", None)
    vocabulary = classes if given is None else given
    if vocabulary < classes:
        why = f"{vocabulary} tokens, but the dataset has {classes}"
        raise ScenarioError(f"model.base.vocabulary: {why}")
    key = "n_positions" if base.architecture == "gpt2" else "max_position_embeddings"
    nobody = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    return {"vocab_size": vocabulary, key: places, **nobody}


def _of_folder(transformers: Any, base: FolderBase, classes: int, places: int) -> nn.Module:
    """Return the model of a folder; on the meta device, from its configuration alone."""
    folder = Path(base.path).expanduser()
    if not (folder / _CONFIG).is_file():
        why = f"{folder} has no {_CONFIG}; expected a folder that transformers' save_pretrained has written"
        raise ScenarioError(f"model.base.path: {why}")
    inside: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    network: nn.Module
    _check_numbers(folder)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **inside)
        _check_folder(folder, config, classes, places)
        auto = transformers.AutoModelForCausalLM
        _check_sizes(folder, auto, config)
        if torch.get_default_device().type == "meta":
            network = auto.from_config(config, attn_implementation=_ATTENTION)
            return network
        network, loading = auto.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation=_ATTENTION,
            output_loading_info=True,
            **inside,
        )
    except ScenarioError:
        raise
    except Exception as error:  # what reads files that others have written may raise anything
        why = f"{folder} is no causal language model that can be read: {error}"
        raise ScenarioError(f"model.base.path: {why}") from error
    if missing := [*loading["missing_keys"], *loading["mismatched_keys"]]:
        why = f"{folder} lacks weights, or has them in other shapes: {', '.join(map(str, missing[:3]))}"
        raise ScenarioError(f"model.base.path: {why}")
    return network


def _check_numbers(folder: Path) -> None:
    """Refuse a configuration of more layers than any model has; each of them takes time."""
    try:
        numbers = list(_numbers(read_json(folder / _CONFIG, MEBIBYTE)))
    except (OSError, ValueError) as error:
        raise ScenarioError(f"model.base.path: {folder / _CONFIG} cannot be read: {error}") from error
    for key, number in numbers:
        most = _MOST_LAYERS if "layer" in key or "expert" in key else 2**31
        if abs(number) > most:
            why = f"{folder / _CONFIG}: {key} is {str(number)[:40]}; at most {most:,}"
            raise ScenarioError(f"model.base.path: {why}")


def _check_sizes(folder: Path, auto: Any, config: Any) -> None:
    """Refuse a configuration that takes much more memory than the weights beside it can fill."""
    with torch.device("meta"):
        network = auto.from_config(config, attn_implementation=_ATTENTION)
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    parameters = sum(each.numel() for each in network.parameters())
    others = sum(each.numel() * each.element_size() for each in network.buffers())
    if torch.get_default_device().type != "meta" and parameters > weights + _SPARE:
        why = f"{folder / _CONFIG} is of {parameters:,} parameters, its weights have {weights:,} bytes"
        raise ScenarioError(f"model.base.path: {why}")
    if others > 16 * (weights + _SPARE):
        why = f"{folder / _CONFIG} takes {others:,} bytes beside its parameters"
        raise ScenarioError(f"model.base.path: {why}")


def _numbers(said: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Yield the whole numbers in what JSON says, and the keys that they are of."""
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _numbers(value, name)
    elif isinstance(said, list):
        for value in said:
            yield from _numbers(value, key)
    elif isinstance(said, int) and not isinstance(said, bool):
        yield key, said


def _check_folder(folder: Path, config: Any, classes: int, places: int) -> None:
    """Refuse a folder that holds something else than a plain model, or one that is too small."""
    for name, what in _NOT_READ.items():
        if (folder / name).exists() or getattr(config, name, None) is not None:
            raise ScenarioError(f"model.base.path: {folder} has {what}; expected plain weights")
    vocabulary = config.get_text_config().vocab_size
    if vocabulary < classes:
        why = f"{folder} knows {vocabulary} tokens, but the dataset has {classes}"
        raise ScenarioError(f"model.base.path: {why}")
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and most < places:
        why = f"{folder} takes {most} tokens at most, but the dataset's texts have {places}"
        raise ScenarioError(f"model.base.path: {why}")


def _stamp(base: Base) -> _Stamp:
    """Return what changes if the files of a base do."""
    if not isinstance(base, FolderBase):
        return ()
    files = sorted(Path(base.path).expanduser().glob("*"))
    return tuple((file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Let it draw no progress bar, and keep its warnings on how it is used, which nobody here can heed."""
    logging = transformers.utils.logging
    was_drawing, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if was_drawing:
            logging.enable_progress_bar()
