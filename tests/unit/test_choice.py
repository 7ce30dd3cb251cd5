"""Which executor a scenario gets: fixed rules, and worker processes where clients cannot be stacked."""

import logging

import pytest

from flsim.learn.executors import Recipe
from flsim.learn.executors import choice as choice_module
from flsim.learn.executors.choice import choose
from flsim.scenario import executor as specs
from flsim.scenario.model import Cnn, Logistic, Mlp, Model, Module
from tests.stacks import recipe

NORMALISED = Module(path="tests.modules:Normalised")
PLAIN = Module(path="tests.modules:Plain")
SMALL, LARGE = 1e6, 1e9


def kind_of(model: Model, task_flop: float, cores: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(choice_module.os, "cpu_count", lambda: cores)
    chosen = choose(specs.Auto(), a_recipe(model), task_flop)
    chosen.executor.close()
    return chosen.kind


def a_recipe(model: Model) -> Recipe:
    return recipe((4, 6), model, shape=(1, 4, 4) if isinstance(model, Cnn) else (6,))


@pytest.mark.parametrize(
    ("model", "task_flop", "cores", "kind"),
    [
        (Logistic(), LARGE, 4, "vmap"),
        (Mlp(), SMALL, 1, "vmap"),
        (Cnn(channels=[4], groups=2), LARGE, 2, "processes"),
        (Cnn(channels=[4], groups=2), SMALL, 2, "serial"),
        (Cnn(channels=[4], groups=2), LARGE, 1, "serial"),
        (PLAIN, SMALL, 2, "serial"),
        (NORMALISED, LARGE, 2, "processes"),
    ],
)
def test_auto_follows_the_model_the_work_and_the_cores(
    model: Model, task_flop: float, cores: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind_of(model, task_flop, cores, monkeypatch) == kind


@pytest.mark.parametrize("spec", [specs.Serial(), specs.Vmap(), specs.Processes()], ids=lambda s: s.kind)
def test_what_the_scenario_asks_for_it_gets(spec: specs.Executor) -> None:
    chosen = choose(spec, a_recipe(Mlp()), SMALL)
    chosen.executor.close()
    assert (chosen.kind, chosen.why) == (spec.kind, "the scenario asks for it")


def test_a_model_that_cannot_be_stacked_goes_to_processes_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = choose(specs.Vmap(), a_recipe(NORMALISED), SMALL)
    chosen.executor.close()
    assert chosen.kind == "processes"
    assert "executor vmap cannot carry this model: The model's buffers change in training" in caplog.text
    assert "It runs as processes." in caplog.text
    assert chosen.why in caplog.text
