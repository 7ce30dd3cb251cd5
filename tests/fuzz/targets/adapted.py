"""The base of a LoRA model from a folder, and tables that the package datasets reads."""

import io
import shutil
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import torch

from flsim.learn.datasets.samples import load
from flsim.learn.models.bases import base_network, module_of
from flsim.learn.problem import Problem
from flsim.scenario.lora import FolderBase, Lora
from flsim.scenario.own_data import HuggingFace
from tests.fuzz.place import folder, placed
from tests.fuzz.target import Target

_PLACES, _TOKENS = 8, 11
_CONFIG, _WEIGHTS, _ARROW = "config.json", "model.safetensors", "data-00000-of-00001.arrow"


@cache
def _home() -> Path:
    """Return a folder with a small base."""
    transformers = module_of("transformers")
    config = transformers.GPT2Config(
        vocab_size=_TOKENS,
        n_positions=_PLACES,
        n_embd=4,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        path = folder() / "base"
        transformers.GPT2LMHeadModel(config).save_pretrained(path)
    return path


def _adapted(name: str, content: bytes) -> None:
    path = folder() / "bases" / "one"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(_home(), path)
    (path / name).write_bytes(content)
    base_network(Lora(base=FolderBase(path=str(path))), Problem((_PLACES,), _TOKENS, "tokens"), _PLACES)


def base_config(content: bytes) -> None:
    _adapted(_CONFIG, content)


def base_weights(content: bytes) -> None:
    _adapted(_WEIGHTS, content)


def _table(name: str, content: bytes) -> None:
    path = str(placed(f"huggingface/{name}", content))
    load(HuggingFace(path=path, inputs=("age", "income"), label="label"), 0.25, 0)


def hf_csv(content: bytes) -> None:
    _table("rows.csv", content)


def hf_json(content: bytes) -> None:
    _table("rows.jsonl", content)


def hf_parquet(content: bytes) -> None:
    _table("rows.parquet", content)


def hf_folder(content: bytes) -> None:
    """What save_to_disk says of its tables, in state.json."""
    path = folder() / "saved"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(_saved(), path)
    (path / "state.json").write_bytes(content)
    load(HuggingFace(path=str(path), inputs=("x",), label="label"), 0.25, 0)


def hf_arrow(content: bytes) -> None:
    """The rows that save_to_disk wrote."""
    path = folder() / "saved"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(_saved(), path)
    (path / _ARROW).write_bytes(content)
    load(HuggingFace(path=str(path), inputs=("x",), label="label"), 0.25, 0)


@cache
def _saved() -> Path:
    import datasets

    path = folder() / "saved-once"
    rows = {"x": [0.5, 1.5, 2.5, 3.5], "label": [0, 1, 0, 1]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows).save_to_disk(str(path))
    return path


def _parquet() -> list[bytes]:
    out = io.BytesIO()
    rows = {"age": [3, 4, 5, 6], "income": [1.5, 2.5, 0.5, 1.0], "label": ["a", "b", "a", "b"]}
    parquet.write_table(pa.table(rows), out)
    return [out.getvalue()]


def _rows() -> list[bytes]:
    return [b'{"age": 3, "income": 1.5, "label": "a"}\n{"age": 4, "income": 2.5, "label": "b"}\n' * 2]


TARGETS = (
    Target("base_config", base_config, "json", lambda: [(_home() / _CONFIG).read_bytes()], share=0.4),
    Target("base_weights", base_weights, "state", lambda: [(_home() / _WEIGHTS).read_bytes()], share=0.4),
    Target("hf_csv", hf_csv, "text", lambda: [b"age,income,label\n3,1.5,a\n4,2.5,b\n5,1.0,a\n"], share=0.4),
    Target("hf_json", hf_json, "json", _rows, share=0.4),
    Target("hf_parquet", hf_parquet, "table", _parquet, share=0.4),
    Target("hf_arrow", hf_arrow, "bytes", lambda: [(_saved() / _ARROW).read_bytes()], share=0.4),
    Target("hf_folder", hf_folder, "json", lambda: [(_saved() / "state.json").read_bytes()], share=0.4),
)
