"""Adapters on language models: what is trained, what is sent, and what it costs."""

import builtins
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flsim.errors import ScenarioError
from flsim.learn.adapters import adapters_of
from flsim.learn.costs import torch_costs, training_flop
from flsim.learn.executors.processes import ProcessesExecutor
from flsim.learn.executors.serial import SerialExecutor
from flsim.learn.executors.stacked import StackedExecutor
from flsim.learn.executors.stacking import CannotStack
from flsim.learn.executors.vectorised import Vectorised
from flsim.learn.models import bases, build, initialised, outline
from flsim.learn.problem import Problem
from flsim.learn.room import check_room
from flsim.learn.weights import Layout
from flsim.scenario import scenario_from
from flsim.scenario.lora import AnyBase, Base, FolderBase, Gpt2Base, Llama7BBase, LlamaBase, Lora, RankShare
from flsim.scenario.training import Adam, Training
from flsim.scenario.workload import TorchWorkload
from tests.adapted import BASE, LORA, PLACES, PROBLEM, TOKENS, adapted_recipe, federation
from tests.stacks import assert_same, jobs, trained
from tests.tiny import scenario_data

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")


def frozen(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in module.named_parameters() if not weight.requires_grad}


def adapters(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def workload(model: Lora, **training: Any) -> TorchWorkload:
    data = scenario_data(2, {"kind": "fedasync", "concurrency": 1})
    data["workload"] |= {"model": model, "training": {"optimizer": {"kind": "sgd"}, **training}}
    found = scenario_from(data).workload
    assert isinstance(found, TorchWorkload)
    return found


# What it is


def test_the_usual_layers_have_adapters_and_they_are_all_the_weights() -> None:
    """Llama's are those of queries and values: A [4, 16] and B [16, 4], in each of two layers."""
    layout = Layout(build(LORA, PROBLEM))
    assert layout.parameters == 2 * 2 * (4 * 16 + 16 * 4)
    assert all(".lora_A." in name or ".lora_B." in name for name in layout.shapes)
    assert {name.split(".")[5] for name in layout.shapes} == {"q_proj", "v_proj"}
    assert set(layout.trained) == set(layout.shapes)


def test_layers_that_are_named_have_adapters() -> None:
    layout = Layout(build(LORA.model_copy(update={"target_modules": ALL_LINEAR}), PROBLEM))
    blocks = 4 * (16 + 16) + 2 * (16 + 24) + (24 + 16)
    assert layout.parameters == 4 * (2 * blocks + 16 + TOKENS)


def test_an_adapter_is_nothing_at_first() -> None:
    """As published: B is zero, and A uniform within 1 / sqrt(in)."""
    module = initialised(build(LORA, PROBLEM), 5)
    for name, weight in adapters(module).items():
        if ".lora_B." in name:
            assert not weight.any()
        else:
            assert weight.abs().max() <= 16**-0.5
            assert float(weight.detach().std()) == pytest.approx((3 * 16) ** -0.5, rel=0.3)


@pytest.mark.parametrize("base", [BASE, Gpt2Base(hidden=16, heads=2)], ids=["llama", "gpt2"])
def test_its_logits_are_those_of_transformers_with_the_products_added(base: Base) -> None:
    """The base's own forward pass, without peft, whose matrices are W + alpha / rank x B A."""
    import transformers

    model = Lora(base=base, rank=4, alpha=12.0)
    module = build(model, PROBLEM)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in adapters(module).values():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    state: dict[str, Tensor] = {}
    weights = dict(module.named_parameters())
    for name, weight in weights.items():
        if ".lora_" in name:
            continue
        merged = weight.detach().clone()
        stem = name.removesuffix(".base_layer.weight")
        if stem != name:
            first, second = (weights[f"{stem}.lora_{x}.default.weight"].detach() for x in "AB")
            product = 12.0 / 4 * second @ first
            merged += product.T if base.kind == "gpt2" else product  # the other way round
        state[name.removeprefix("network.").replace(".base_layer", "")] = merged
    config = module.network.config  # type: ignore[union-attr]
    plain = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    missing, unexpected = plain.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}  # of GPT-2, tied to the embeddings
    tokens = torch.randint(TOKENS, (3, PLACES), generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(tokens), plain.eval()(tokens).logits, rtol=1e-4, atol=1e-5)


def test_a_token_is_told_from_those_before_it_alone() -> None:
    module = initialised(build(LORA, PROBLEM), 5)
    tokens = torch.zeros(1, PLACES, dtype=torch.int64)
    other = tokens.clone()
    other[0, 3] = 1
    with torch.no_grad():
        same = (module(tokens) == module(other)).all(-1)[0]
    assert same.tolist() == [True] * 3 + [False] * (PLACES - 3)


def test_a_vocabulary_may_be_larger_than_the_datasets() -> None:
    large = LORA.model_copy(update={"base": BASE.model_copy(update={"vocabulary": 50})})
    module = build(large, PROBLEM)
    assert module.network.lm_head.out_features == 50  # type: ignore[union-attr]
    assert module(PROBLEM.inputs(2)).shape == (2, PLACES, TOKENS)


# The same everywhere


def test_the_base_is_the_same_whenever_it_is_built_and_follows_from_its_own_seed() -> None:
    first = frozen(build(LORA, PROBLEM))
    bases._kept.cache_clear()
    again = frozen(build(LORA, PROBLEM))
    other = frozen(build(LORA.model_copy(update={"seed": 1}), PROBLEM))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["network.lm_head.weight"], other["network.lm_head.weight"])


def test_the_seed_of_the_scenario_draws_the_adapters_and_no_base() -> None:
    one, other = (initialised(build(LORA, PROBLEM), seed) for seed in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(frozen(one).values(), frozen(other).values(), strict=True))
    pairs = zip(adapters(one).items(), adapters(other).values(), strict=True)
    drawn = [name for (name, weight), others in pairs if not torch.equal(weight, others)]
    assert drawn == [name for name in adapters(one) if ".lora_A." in name]


def test_building_draws_nothing_from_torchs_own_state() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    bases._kept.cache_clear()
    initialised(build(LORA.model_copy(update={"freeze_a": True}), PROBLEM), 1)
    assert torch.equal(torch.rand(3), expected)


def test_copies_share_the_memory_of_the_base_and_nothing_else() -> None:
    module = build(LORA, PROBLEM)
    copied = deepcopy(module)
    for name, weight in module.named_parameters():
        same = copied.get_parameter(name).data_ptr() == weight.data_ptr()
        assert same is not weight.requires_grad, name
    assert all(
        weight.data_ptr() == build(LORA, PROBLEM).get_parameter(name).data_ptr()
        for name, weight in frozen(module).items()
    )


def test_training_leaves_the_base_as_it_was() -> None:
    before = {name: weight.clone() for name, weight in frozen(build(LORA, PROBLEM)).items()}
    of = adapted_recipe()
    [done] = SerialExecutor(of).train(jobs(of, [0]))
    after = frozen(build(LORA, PROBLEM))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(done.update) == of.layout.parameters
    assert done.update.any()


# Executors


@pytest.mark.parametrize("optimizer", [Adam(lr=0.01), None], ids=["adam", "sgd"])
def test_stacked_clients_train_as_one_after_the_other(optimizer: Adam | None) -> None:
    of = adapted_recipe(**({} if optimizer is None else {"optimizer": optimizer}))
    work = jobs(of, [0, 1, 2, 1])
    expected = trained(SerialExecutor(of), work)
    assert_same(trained(StackedExecutor(of, Vectorised(of), None, 1), work), expected)


@pytest.mark.slow
def test_other_processes_train_the_same_bits() -> None:
    of = adapted_recipe()
    work = jobs(of, [0, 1])
    expected = trained(SerialExecutor(of), work)
    found = trained(ProcessesExecutor(of, 2), work)
    assert all(torch.equal(one.update, other.update) for one, other in zip(found, expected, strict=True))


def test_dropout_is_drawn_for_each_task_and_cannot_be_stacked() -> None:
    of = adapted_recipe(LORA.model_copy(update={"dropout": 0.5}))
    work = jobs(of, [0, 1])
    one, other = trained(SerialExecutor(of), work), trained(SerialExecutor(of), work[::-1])[::-1]
    assert all(torch.equal(a.update, b.update) for a, b in zip(one, other, strict=True))
    plain = trained(SerialExecutor(adapted_recipe()), work)
    assert not torch.allclose(one[0].update, plain[0].update)
    with pytest.raises(CannotStack, match="random"):
        Vectorised(of)


# FFA-LoRA


def test_with_a_frozen_only_b_is_trained_and_sent() -> None:
    ffa = LORA.model_copy(update={"freeze_a": True})
    layout = Layout(build(ffa, PROBLEM))
    assert layout.parameters * 2 == Layout(build(LORA, PROBLEM)).parameters
    assert all(".lora_B." in name for name in layout.shapes)
    one, other = (initialised(build(ffa, PROBLEM), seed) for seed in (1, 2))
    assert all(torch.equal(frozen(one)[name], frozen(other)[name]) for name in frozen(one))
    drawn = [weight for name, weight in frozen(one).items() if ".lora_A." in name]
    assert len(drawn) == 4
    assert not any(torch.equal(drawn[0], weight) for weight in drawn[1:])
    of = adapted_recipe(ffa)
    [done] = trained(SerialExecutor(of), jobs(of, [0]))
    assert done.update.any()


# Ranks


def test_a_client_of_a_lower_rank_trains_as_if_the_model_had_that_rank() -> None:
    """With a common scale: alpha / rank of the model, here 8 / 4 and 4 / 2."""
    of = adapted_recipe()
    held = adapters_of(LORA.model_copy(update={"ranks": (RankShare(share=1.0, rank=2),)}), of.layout, 3)
    small = adapted_recipe(Lora(base=BASE, rank=2, alpha=4.0))
    assert held is not None
    [job] = jobs(of, [1])
    generator = torch.Generator().manual_seed(4)
    start = held.held(1, torch.randn(of.layout.parameters, generator=generator))
    cut = torch.cat(
        [
            (view[:2] if ".lora_A." in name else view[:, :2]).reshape(-1)
            for name, view in of.layout.views(start).items()
        ]
    )
    for optimizer in (Training().optimizer, Adam(lr=0.05)):
        training = {"epochs": 2, "batch_size": 2, "optimizer": optimizer}
        large = adapted_recipe(**training)
        small = adapted_recipe(Lora(base=BASE, rank=2, alpha=4.0), **training)
        [one] = trained(SerialExecutor(large), [type(job)(job.task, start)])
        [other] = trained(SerialExecutor(small), [type(job)(job.task, cut)])
        assert torch.equal(one.update, held.held(1, one.update))
        for name, view in of.layout.views(one.update).items():
            expected = small.layout.views(other.update)[name]
            found = view[:2] if ".lora_A." in name else view[:, :2]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_ranks_are_dealt_as_listed_classes_of_devices_are() -> None:
    shares = (RankShare(share=0.3, rank=1), RankShare(share=0.7, rank=3))
    assert Lora(rank=4, ranks=shares).client_ranks(10) == [1] * 3 + [3] * 7
    assert Lora(rank=4).client_ranks(2) == [4, 4]


def test_ranks_decide_bytes_and_work() -> None:
    shares = (RankShare(share=0.5, rank=1), RankShare(share=0.5, rank=4))
    mixed = LORA.model_copy(update={"ranks": shares})
    layout = Layout(build(mixed, PROBLEM))
    costs = torch_costs(workload(mixed, epochs=3), layout, PROBLEM, [10, 10, 10, 10])
    small = LORA.model_copy(update={"rank": 1})
    least = 4 * Layout(build(small, PROBLEM)).parameters
    assert costs.client_bytes == [least, least, 4 * least, 4 * least]
    assert costs.download_bytes == costs.upload_bytes == 4 * least
    flop = [30 * training_flop(workload(each), PROBLEM) for each in (small, LORA)]
    assert list(costs.work_flop) == [flop[0], flop[0], flop[1], flop[1]]
    assert flop[0] < flop[1]


# Costs


def by_hand(base: LlamaBase, rank: int, places: int, vocabulary: int) -> float:
    """Return the FLOPs of a text with adapters on queries and values, from the products that there are.

    A product of [n, a] and [a, b] is 2 n a b. Frozen matrices have no gradient of their own, so they count
    twice: forward, and for what is before them. Before the first layer's adapters nothing is trained.
    """
    d, m, n = base.hidden, base.intermediate, places
    keys = d // base.heads * (base.kv_heads or base.heads)
    matrices = d * d + 2 * d * keys + d * d + 3 * d * m  # q, k and v, o, gated layers
    forward = base.layers * 2 * n * matrices + 2 * n * d * vocabulary
    backward = forward - 2 * n * (d * d + 2 * d * keys)  # of q, k and v in the first layer none is needed
    attention = base.layers * 2 * (2 * n * n * d) * 3  # scores and sums: forward, and two gradients each
    # The first layer's keys have nothing before them that trains: no gradient of theirs.
    attention -= 2 * n * n * d
    b_in_a = d * rank + rank * d, d * rank + rank * keys
    adapters = base.layers * 3 * 2 * n * sum(b_in_a)
    adapters -= 2 * n * 2 * d * rank  # nor of what goes into A in the first layer
    return forward + backward + attention + adapters


@pytest.mark.parametrize("kv_heads", [None, 1])
@pytest.mark.parametrize(("layers", "rank"), [(1, 2), (3, 4)])
def test_a_text_costs_two_products_for_what_is_frozen_and_three_for_adapters(
    layers: int, rank: int, kv_heads: int | None
) -> None:
    base = LlamaBase(hidden=16, intermediate=24, layers=layers, heads=2, kv_heads=kv_heads)
    found = training_flop(workload(Lora(base=base, rank=rank)), PROBLEM)
    assert found == by_hand(base, rank, PLACES, TOKENS)


def test_seven_billion_parameters_cost_four_flops_each_and_no_memory() -> None:
    model = Lora(base=Llama7BBase(), rank=16)
    problem = Problem((128,), 90, "tokens")
    module = outline(model, problem)
    assert {weight.device.type for weight in module.parameters()} == {"meta"}
    base = sum(weight.numel() for weight in frozen(module).values())
    assert base == 6_738_415_616
    layout = Layout(module)
    assert layout.parameters == 32 * 2 * 2 * 16 * 4096
    costs = torch_costs(workload(model), layout, problem, [1, 2])
    assert costs.download_bytes == costs.upload_bytes == 4 * 8_388_608
    assert (costs.parameters, costs.frozen_parameters) == (8_388_608, base)
    assert costs.work_flop[0] == by_hand(Llama7BBase(), 16, 128, 32_000)
    embeddings = 32_000 * 4096
    assert costs.work_flop[0] / 128 == pytest.approx(4 * (base - embeddings), rel=0.02)


# What cannot be


@pytest.mark.parametrize(
    ("model", "problem", "why"),
    [
        (LORA, Problem((6,), 3), "model lora needs texts, but this dataset's samples have the shape"),
        (
            LORA.model_copy(update={"target_modules": ("q_proj", "query")}),
            PROBLEM,
            "model.target_modules: 'query' is no linear layer of the base; accepted: q_proj, k_proj",
        ),
        (
            LORA.model_copy(update={"base": BASE.model_copy(update={"vocabulary": 7})}),
            PROBLEM,
            "model.base.vocabulary: 7 tokens, but the dataset has 11",
        ),
        (Lora(base=Llama7BBase()), PROBLEM, "llama_7b is the sizes of a model.*run it with --timing-only"),
        (Lora(base=FolderBase(path="/nowhere")), PROBLEM, "model.base.path: /nowhere has no config.json"),
    ],
    ids=["numbers", "target", "vocabulary", "seven billion", "folder"],
)
def test_one_message_says_what_does_not_fit(model: Lora, problem: Problem, why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        build(model, problem)


def test_a_model_that_is_larger_than_the_memory_is_not_tried() -> None:
    huge = LlamaBase(hidden=1_048_576, intermediate=1_048_576, layers=2, heads=64)
    of = adapted_recipe(LORA)
    with pytest.raises(ScenarioError, match=r"weights take .*TB, and this machine has .*--timing-only"):
        check_room(type(of)(Lora(base=huge), PROBLEM, of.training, 1, of.data))
    check_room(of)


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str, *args: Any, **others: Any) -> Any:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(bases.importlib, "import_module", without)
    bases._kept.cache_clear()
    with pytest.raises(ScenarioError, match=r"needs transformers, .* pip install 'flsim-des\[llm\]'"):
        build(LORA, PROBLEM)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"base": {"kind": "llama", "hidden": 18}}, "4 heads of the same even width do not make 18"),
        ({"base": {"kind": "llama", "kv_heads": 3}}, "4 heads cannot share 3 keys and values evenly"),
        ({"ranks": [{"share": 0.5, "rank": 2}]}, "the shares must sum to 1"),
        ({"ranks": [{"share": 1.0, "rank": 5}]}, "no client's rank is above the model's, which is 4"),
        ({"ranks": [{"share": 1.0, "rank": 2}], "freeze_a": True}, "where A is frozen, it is whole"),
        ({"base": {"kind": "bert"}}, "accepted: llama, llama_7b, gpt2, folder"),
    ],
)
def test_a_bad_key_is_refused_with_a_reason(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        scenario_from(federation(given, "/dev/null"))


RANKS = {"ranks": [{"share": 0.5, "rank": 2}, {"share": 0.5, "rank": 4}]}
TESTED = {"clients": {"every": 1}}


@pytest.mark.parametrize(
    ("model", "sections", "where"),
    [
        ({}, {"personalization": {"kind": "fedper"}}, "personalization.kind"),
        (
            {},
            {"leakage": {}},
            "leakage: the attacks are on models that tell classes apart; lora says",
        ),
        (RANKS, {"aggregation": {"kind": "median"}}, "aggregation.kind: median compares"),
        (RANKS, {"personalization": {"kind": "ditto"}}, "model.ranks: personalization takes"),
        (RANKS, {"compression": {"uplink": {"kind": "top_k"}}}, "model.ranks: compression takes"),
        (RANKS, {"attack": {"kind": "sign_flip"}}, "model.ranks: attack takes"),
        (RANKS, {"privacy": {"kind": "local", "accounting": "rdp"}}, "model.ranks: privacy takes"),
        (RANKS, {"secure_aggregation": {"kind": "secagg"}}, "model.ranks: secure_aggregation takes"),
    ],
)
def test_what_does_not_go_with_it_is_refused_with_a_reason(
    model: dict[str, Any], sections: dict[str, Any], where: str
) -> None:
    with pytest.raises(ScenarioError, match=where):
        scenario_from(federation(model, "/dev/null", **sections))


@pytest.mark.parametrize("kind", ["scaffold", "feddyn", "mime_lite"])
def test_objectives_that_shift_do_not_go_with_ranks(kind: str) -> None:
    data = federation(RANKS, "/dev/null")
    data["workload"]["training"]["objective"] = {"kind": kind}
    with pytest.raises(ScenarioError, match=r"objective.kind: .* accepted: loss, fedprox"):
        scenario_from(data)


# Folders


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as transformers writes it, with weights of its own."""
    import transformers

    path = tmp_path_factory.mktemp("base")
    config = transformers.LlamaConfig(
        vocab_size=TOKENS + 2,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def test_a_folder_gives_its_weights(folder: Path) -> None:
    from safetensors.torch import load_file

    model = Lora(base=FolderBase(path=str(folder)), rank=4)
    built = build(model, PROBLEM)
    expected = load_file(folder / "model.safetensors")
    found = {
        name.removeprefix("network.").replace(".base_layer", ""): weight
        for name, weight in frozen(built).items()
    }
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert Layout(outline(model, PROBLEM)).shapes == Layout(built).shapes
    assert built(PROBLEM.inputs(2)).shape == (2, PLACES, TOKENS)


def changed(folder: Path, target: Path, **config: object) -> str:
    """Return a copy of a folder with other settings."""
    target.mkdir(exist_ok=True)
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    settings = json.loads((target / "config.json").read_text()) | config
    (target / "config.json").write_text(json.dumps(settings))
    return str(target)


def assert_refused(path: str, why: str, problem: Problem = PROBLEM) -> None:
    with pytest.raises(ScenarioError, match=why):
        build(Lora(base=FolderBase(path=path)), problem)


def test_a_folder_that_changes_is_read_anew(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = changed(folder, tmp_path / "own")
    model = Lora(base=FolderBase(path=path))
    build(model, PROBLEM)
    state = load_file(tmp_path / "own" / "model.safetensors")
    state["lm_head.weight"] += 1
    save_file(state, tmp_path / "own" / "model.safetensors", {"format": "pt", "made": "anew"})
    assert torch.equal(frozen(build(model, PROBLEM))["network.lm_head.weight"], state["lm_head.weight"])


def test_a_folder_must_know_the_tokens_and_take_the_texts(folder: Path) -> None:
    assert_refused(str(folder), "knows 13 tokens, but the dataset has 99", Problem((PLACES,), 99, "tokens"))
    assert_refused(
        str(folder), "takes 32 tokens at most, but the dataset's texts have 64", Problem((64,), 5, "tokens")
    )


def test_weights_that_are_missing_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    assert_refused(
        changed(folder, tmp_path / "deep", num_hidden_layers=3), "lacks weights, or has them in other"
    )


def test_no_code_of_a_folder_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration may name a class in a file beside it; to import that would be to run it."""
    path = changed(
        folder,
        tmp_path / "code",
        model_type="own_kind",
        auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    )
    (tmp_path / "code" / "own.py").write_text("import builtins\nbuiltins.was_run = True\n")
    assert_refused(path, "is no causal language model that can be read")
    assert not hasattr(builtins, "was_run")


def test_no_pickle_is_read(folder: Path, tmp_path: Path) -> None:
    path = changed(folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    assert_refused(path, "is no causal language model that can be read")


def test_a_folder_with_adapters_or_quantised_weights_is_no_base(folder: Path, tmp_path: Path) -> None:
    path = changed(folder, tmp_path / "adapters")
    (tmp_path / "adapters" / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "somebody/else"})
    )
    assert_refused(path, "has adapters of its own; expected plain weights")
    how = {"quant_method": "gptq", "bits": 4}
    assert_refused(
        changed(folder, tmp_path / "quantised", quantization_config=how),
        "has quantised weights; expected plain weights",
    )


def test_every_base_is_known_to_the_tests() -> None:
    known = AnyBase.__metadata__[0].classes  # type: ignore[attr-defined]
    assert set(known) == {"llama", "llama_7b", "gpt2", "folder"}
