"""Modules of a user's own: what is asked of them, and that all their state is carried."""

import pytest
import torch
from torch import nn

from flsim.errors import RunError, ScenarioError
from flsim.learn.executors import Executor
from flsim.learn.executors.processes import ProcessesExecutor
from flsim.learn.executors.serial import SerialExecutor
from flsim.learn.executors.stacked import StackedExecutor
from flsim.learn.executors.vectorised import Vectorised
from flsim.learn.models import build, initialised
from flsim.learn.problem import Problem
from flsim.learn.weights import Layout
from flsim.scenario.model import Module
from flsim.scenario.training import Adam, Training
from flsim.sim.world import simulate
from tests.memory import MemoryJournal
from tests.modules import Normalised, Plain
from tests.stacks import assert_same, jobs, recipe, trained
from tests.tiny import scenario_data, tiny

NORMALISED = Module(path="tests.modules:Normalised")
PLAIN = Module(path="tests.modules:Plain", arguments={"hidden": 5})
TRAINING = Training(epochs=2, batch_size=4, optimizer=Adam(lr=0.01))


def test_it_is_called_with_its_arguments() -> None:
    made = build(PLAIN, Problem((6,), 3))
    assert isinstance(made, Plain)
    assert made.first.out_features == 5


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (Module(path="tests.modules:Missing"), "cannot be imported and called with {}: module 'tests.mod"),
        (Module(path="no_such.thing:Net"), "cannot be imported and called with {}: No module named 'no_s"),
        (Module(path="tests.modules:Plain", arguments={"width": 1}), "unexpected keyword argument 'width'"),
        (Module(path="tests.modules:not_a_module"), "makes a int, not a torch.nn.Module"),
        (
            Module(path="tests.modules:Plain", arguments={"inputs": 5}),
            "cannot take inputs of the shape [2",
        ),
        (
            Module(path="tests.modules:Plain", arguments={"classes": 4}),
            "gives [2, 4] for inputs of the sh",
        ),
    ],
)
def test_one_message_says_what_is_wrong_with_it(spec: Module, why: str) -> None:
    with pytest.raises(ScenarioError, match=f"model.path: {spec.path} ") as caught:
        build(spec, Problem((6,), 3))
    assert why in str(caught.value)


def test_what_requires_no_gradient_stays_where_it_is() -> None:
    of = recipe((8, 8), Module(path="tests.modules:Frozen"), TRAINING, shape=(6,))
    assert set(of.layout.shapes) == set(of.layout.trained) == {"second.weight", "second.bias"}
    module = initialised(of.module(), 5)
    assert (module.first.weight == 1).all()  # type: ignore[union-attr]
    work = jobs(of, [0, 1])
    expected = trained(SerialExecutor(of), work)
    assert expected[0].update.any()
    assert_same(trained(StackedExecutor(of, Vectorised(of), None, 1), work), expected)


def test_what_is_frozen_has_to_be_the_same_for_all() -> None:
    drawn = Module(path="tests.modules:Frozen", arguments={"drawn": True})
    with pytest.raises(ScenarioError, match=r"makes first.weight, which requires no gradient, anew"):
        build(drawn, Problem((6,), 3))


def test_buffers_of_the_modules_state_are_weights_and_counters_are_not() -> None:
    layout = Layout(Normalised())
    flat = torch.arange(float(layout.parameters))
    views = layout.views(flat)
    assert {"layers.1.running_mean", "layers.1.running_var"} <= set(views)
    assert "layers.1.num_batches_tracked" not in views
    assert set(layout.trained) == {name for name, _ in Normalised().named_parameters()}
    assert layout.parameters == sum(p.numel() for p in Normalised().parameters()) + 2 * 4


def test_what_training_does_to_running_statistics_is_in_the_update() -> None:
    """Two batches of one epoch, by torch's own training loop."""
    of = recipe((8,), NORMALISED, Training(epochs=1, batch_size="full"), shape=(6,))
    job = jobs(of, [0])[0]
    [done] = SerialExecutor(of).train([job])
    module = Normalised()
    views = of.layout.views(job.base)
    module.load_state_dict({**module.state_dict(), **views})
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=of.training.optimizer.lr)
    x, y = of.data.of(0)
    nn.functional.cross_entropy(module(x), y).backward()
    optimizer.step()
    torch.testing.assert_close(job.base + done.update, of.layout.flatten(module))
    moved = of.layout.views(done.update)
    assert moved["layers.1.running_mean"].abs().max() > 0


def test_one_client_leaves_nothing_behind_for_the_next() -> None:
    of = recipe((8, 10), NORMALISED, TRAINING, shape=(6,))
    alone = SerialExecutor(of).train(jobs(of, [0, 1])[1:])
    after = SerialExecutor(of).train(jobs(of, [0, 1]))[1:]
    assert torch.equal(alone[0].update, after[0].update)


def test_what_a_module_cannot_train_on_ends_the_run_with_one_message() -> None:
    of = recipe((8, 5), NORMALISED, TRAINING, shape=(6,))  # 5 samples in batches of 4 leave one alone
    why = r"training task 1 of client 1 failed: workload\.model .* Expected more than 1 value"
    with pytest.raises(RunError, match=why):
        SerialExecutor(of).train(jobs(of, [0, 1]))


def others(kind: str, model: Module) -> tuple[Executor, Executor, list]:
    of = recipe((8, 3, 12, 6), model, TRAINING, shape=(6,))
    made: Executor = (
        ProcessesExecutor(of, 2) if kind == "processes" else StackedExecutor(of, Vectorised(of), 2, 2)
    )
    return made, SerialExecutor(of), jobs(of, [0, 1, 2, 3])


@pytest.mark.parametrize(("kind", "model"), [("processes", NORMALISED), ("vmap", PLAIN)])
def test_every_executor_carries_all_of_the_state(kind: str, model: Module) -> None:
    made, serial, work = others(kind, model)
    assert_same(trained(made, work), trained(serial, work))


def test_a_constant_in_the_state_stays_what_it_is() -> None:
    made, _, work = others("vmap", PLAIN)
    of = recipe((8,), PLAIN, TRAINING, shape=(6,))
    for done in trained(made, work):
        assert torch.equal(of.layout.views(done.update)["scale"], torch.zeros(1))


def test_the_server_averages_running_statistics_and_tests_with_them() -> None:
    data = scenario_data(4, {"kind": "sync", "cohort": 4})
    data["workload"]["model"] = {"kind": "module", "path": "tests.modules:Normalised"}
    of = tiny(data)
    simulate(of.scenario, of.costs, of.learner, MemoryJournal())
    views = of.layout.views(of.learner.weights)
    assert views["layers.1.running_mean"].abs().max() > 0
    assert of.learner.evaluate()().accuracy > 0.5


def test_first_weights_are_drawn_and_buffers_are_as_they_are_made() -> None:
    of = recipe((4,), NORMALISED, TRAINING, shape=(6,))
    first, again = (of.layout.flatten(initialised(of.module(), 3)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(of.layout.views(first)["layers.1.running_var"], torch.ones(4))


def test_dropout_is_drawn_per_task_whatever_else_is_drawn() -> None:
    of = recipe((8, 10), Module(path="tests.modules:Dropping"), TRAINING, shape=(6,))
    work = jobs(of, [0, 1, 0])
    first = SerialExecutor(of).train(work)
    torch.rand(3)  # somebody else's draw
    before = torch.default_generator.get_state()
    again = SerialExecutor(of).train(work[::-1])[::-1]
    assert torch.equal(torch.default_generator.get_state(), before)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.update, other.update)
    assert not torch.equal(first[0].update, first[2].update)  # another task of the same client
    assert_same(trained(ProcessesExecutor(of, 2), work), first)
