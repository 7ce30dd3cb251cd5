"""`workload.model` kind `lora`: a language model that stays as it is, and the adapters that are trained.

Beside a matrix W of the base [out, in] there are A [rank, in] and B [out, rank]; the layer's matrix is
W + alpha / rank x B A. Nothing but A and B is trained, sent and counted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.scenario.attack import DataAttack
from flsim.scenario.model import Model, Width
from flsim.scenario.shares import quotas

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

Name = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
Rank = Annotated[int, Field(ge=1)]
_LOC = ("workload", "model")


class Base(Component):
    """The language model that is adapted, which never changes and never travels."""

    @property
    def architecture(self) -> str | None:
        """Its kind in the words of transformers, None where its folder says so."""
        return None

    @property
    def settings(self) -> Mapping[str, object]:
        """Its configuration in the words of transformers, without vocabulary and length."""
        return {}


class _Configured(Base):
    """A base of the sizes that it is given, with weights that the model's `seed` gives.

    `hidden`: the width. `layers`: blocks. `heads`: of attention; they divide the width. `vocabulary`:
    tokens; by default those of the dataset.
    """

    hidden: Width = 64
    layers: Width = 2
    heads: Width = 4
    vocabulary: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden % (2 * self.heads):
            why = f"{self.heads} heads of the same even width do not make {self.hidden}"
            raise misfit(("hidden",), self.hidden, why)
        return self


class LlamaBase(_Configured):
    """A decoder in the shape of Llama, tiny by default, with random weights.

    `hidden` is the width, of `heads` heads, which share `kv_heads` keys and values; `intermediate` that of
    the gated layers. `vocabulary`: the dataset's, or a larger one. Touvron et al., "LLaMA: Open and
    Efficient Foundation Language Models", 2023.
    """

    kind: Literal["llama"] = "llama"
    intermediate: Width = 172
    kv_heads: Width | None = None

    @property
    def architecture(self) -> str:
        return "llama"

    @property
    def settings(self) -> Mapping[str, object]:
        return {
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads or self.heads,
        }

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.kv_heads is not None and self.heads % self.kv_heads:
            why = f"{self.heads} heads cannot share {self.kv_heads} keys and values evenly"
            raise misfit(("kv_heads",), self.kv_heads, why)
        return self


class Llama7BBase(LlamaBase):
    """`llama` with the sizes of the model with seven billion parameters; its weights take 27 GB.

    Where they do not fit into memory, `--timing-only` needs none of them.

    `layers`: blocks; fewer of them make a smaller model.
    """

    kind: Literal["llama_7b"] = "llama_7b"  # type: ignore[assignment]
    hidden: Width = 4096
    layers: Width = 32
    heads: Width = 32
    intermediate: Width = 11_008
    vocabulary: Annotated[int, Field(ge=2)] | None = 32_000


class Gpt2Base(_Configured):
    """A decoder in the shape of GPT-2, tiny by default, with random weights and without dropout.

    Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """

    kind: Literal["gpt2"] = "gpt2"

    @property
    def architecture(self) -> str:
        return "gpt2"

    @property
    def settings(self) -> Mapping[str, object]:
        return {
            "n_embd": self.hidden,
            "n_layer": self.layers,
            "n_head": self.heads,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        }


class FolderBase(Base):
    """A causal language model of transformers from a local folder: config.json and safetensors.

    Nothing is fetched, no code of the folder's runs, and weights in other formats are not read.

    `path`: the folder.
    """

    kind: Literal["folder"] = "folder"
    path: Annotated[str, Field(min_length=1)]


AnyBase = Annotated[Base, Kinds(Base, LlamaBase, Llama7BBase, Gpt2Base, FolderBase)]


class RankShare(Section):
    """A share of the clients, with consecutive ids, that has adapters of this rank.

    `share`: of the clients. `rank`: of their adapters.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    rank: Rank


class Lora(Model):
    """Low-rank adapters on a language model of transformers, which itself stays as it is: LoRA.

    The product B A is scaled by `alpha` / `rank`. `target_modules`: the names of the layers that have
    adapters; those that are usual for the base if none are named. `dropout`: of what goes into an adapter.
    `freeze_a`: A stays as it was drawn, and B alone is trained and sent (FFA-LoRA). `ranks`: shares of the
    clients that have smaller adapters, in the order of their ids as with `fleet.class_order: listed`: the
    first rows of A and columns of B.
    `seed`: of the weights that never travel. Needs the extra `llm`. Hu et al., "LoRA: Low-Rank Adaptation
    of Large Language Models", ICLR 2022; FFA-LoRA: Sun et al., "Improving LoRA in Privacy-preserving
    Federated Learning", ICLR 2024; ranks: Cho et al., "Heterogeneous LoRA for Federated Fine-tuning of
    On-Device Foundation Models", EMNLP 2024.

    `base`: the language model that the adapters are put on.
    """

    kind: Literal["lora"] = "lora"
    base: AnyBase = LlamaBase()
    rank: Rank = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    target_modules: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    freeze_a: bool = False
    ranks: tuple[RankShare, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def client_ranks(self, clients: int) -> Sequence[int]:
        """Return the rank of each client's adapters.

        >>> shares = (RankShare(share=0.5, rank=2), RankShare(share=0.5, rank=4))
        >>> Lora(rank=4, ranks=shares).client_ranks(5)
        [2, 2, 2, 4, 4]
        """
        if not self.ranks:
            return [self.rank] * clients
        counts = quotas([each.share for each in self.ranks], clients)
        return [each.rank for each, count in zip(self.ranks, counts, strict=True) for _ in range(count)]

    @model_validator(mode="after")
    def _ranks_fit(self) -> Self:
        if not self.ranks:
            return self
        if self.freeze_a:
            why = "where A is frozen, it is whole for everybody, and so would B be trained; accepted: none"
            raise misfit(("ranks",), None, why)
        total = math.fsum(each.share for each in self.ranks)
        if abs(total - 1) > 1e-6:
            raise misfit(("ranks",), total, "the shares must sum to 1")
        if (most := max(each.rank for each in self.ranks)) > self.rank:
            why = f"no client's rank is above the model's, which is {self.rank}"
            raise misfit(("ranks",), most, why)
        return self

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if the model cannot be in a scenario."""
        personalization = scenario.personalization
        if personalization is not None and personalization.private_layers:
            why = "the last layers of a base are not the client's to keep: only adapters are trained"
            raise misfit(("personalization", "kind"), personalization.kind, why)
        if isinstance(scenario.attack, DataAttack):
            why = f"{scenario.attack.kind} is on samples that have classes, and those of lora are texts"
            raise misfit(("attack", "kind"), scenario.attack.kind, why)
        if scenario.leakage is not None:
            why = "the attacks are on models that tell classes apart; lora says which token comes next"
            raise misfit(("leakage",), None, why)
        if self.ranks:
            check_ranks(scenario)


def check_ranks(scenario: "Scenario") -> None:
    """Refuse what takes the updates of all clients to be of the same weights."""
    training = scenario.training
    assert training is not None  # noqa: S101 - it is of a workload that trains
    if scenario.aggregation.kind not in ("mean", "flexlora"):
        why = f"{scenario.aggregation.kind} compares numbers that clients of a lower rank do not have"
        raise misfit(("aggregation", "kind"), scenario.aggregation.kind, f"{why}; accepted: mean, flexlora")
    if training.objective.shifts:
        loc, given = ("workload", "training", "objective", "kind"), training.objective.kind
        why = f"{given} moves what clients of a lower rank do not have; accepted: loss, fedprox"
        raise misfit(loc, given, why)
    beside: Mapping[str, Component | Section | None] = {
        "personalization": scenario.personalization,
        "hierarchy": scenario.hierarchy,
        "privacy": scenario.privacy,
        "compression": scenario.compression,
        "attack": scenario.attack,
        "secure_aggregation": scenario.secure_aggregation,
    }
    for name, section in beside.items():
        if section is not None:
            why = f"{name} takes the adapters of all clients to be as large; accepted beside ranks: none"
            raise misfit((*_LOC, "ranks"), name, why)
