"""`workload` of kind `flower`: a Flower app, whose ServerApp decides and whose ClientApps compute."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds, misfit
from flsim.policy.server_app import ServerAppStrategy
from flsim.quantities import PositiveSeconds, Seconds, Work
from flsim.scenario.distributions import VaryingSeconds
from flsim.scenario.executor import Auto, Processes, Ray, Serial
from flsim.scenario.files import FilePath
from flsim.scenario.workload import Workload

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

_TWO_HEARTBEATS_S = 60.0  # of 30 s, as Flower's SuperNodes send them, and its SuperLink misses two
_APPS_OWN = (
    *("selection", "aggregation", "server_optimizer", "personalization", "hierarchy", "privacy"),
    *("compression", "attack", "leakage", "secure_aggregation", "evaluation", "checkpoint"),
)
Setting = bool | int | float | str


class AppWork(Component):
    """How much work it is for a client to answer a message."""


class CountedWork(AppWork):
    """The FLOPs that torch counts in the first answer to a message of each type; later ones take as many.

    Where answers say how many examples they are of (num-examples), each example takes as many.
    """

    kind: Literal["counted"] = "counted"


class DeclaredWork(AppWork):
    """FLOPs for messages of each type, the same for everybody.

    `train`, `evaluate`, `query`: of an answer to a message of that type, whatever its action.
    """

    kind: Literal["declared"] = "declared"
    train: Work
    evaluate: Work = 0.0
    query: Work = 0.0


class PerSampleWork(AppWork):
    """Seconds for every example that an answer says it is of (num-examples), whatever the device.

    `seconds`: of one example; a distribution is drawn from once per client.
    """

    kind: Literal["per_sample"] = "per_sample"
    seconds: VaryingSeconds


class FixedWork(AppWork):
    """Seconds that do not depend on what is done, nor on the device.

    `seconds`: of one answer; a distribution is drawn from for each.
    """

    kind: Literal["fixed"] = "fixed"
    seconds: VaryingSeconds


AnyAppWork = Annotated[AppWork, Kinds(AppWork, CountedWork, DeclaredWork, PerSampleWork, FixedWork)]


class FlowerWorkload(Workload):
    """A Flower app (extra `flower`): what its ServerApp sends, the fleet's ClientApps answer.

    `app`: its folder, with a pyproject.toml. `config`: entries of its run config, in place of those in
    there. `work`: how long answers take to compute. `deadline`: how long the server waits for an answer at
    most, where a message's own time-to-live is longer. `notice`: how long after a node has gone, or has
    failed at a message, Flower's server notices. `time`: what the app reads and waits for with the module
    time, real or virtual. `patience`: how many seconds by the clock a ClientApp may take for an answer
    before it is held to hang. `accuracy` and `loss`: which of the app's metrics are those of a version;
    by default the first whose name has accuracy or acc in it, and loss.
    """

    kind: Literal["flower"] = "flower"
    app: FilePath
    config: dict[str, Setting] = Field(default_factory=dict)
    work: AnyAppWork = CountedWork()
    deadline: PositiveSeconds | None = None
    notice: Seconds = _TWO_HEARTBEATS_S
    time: Literal["real", "virtual"] = "real"
    patience: PositiveSeconds = 600.0
    accuracy: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    loss: Annotated[str, Field(min_length=1, max_length=200)] | None = None


def check_flower(scenario: "Scenario") -> None:
    """Refuse what a Flower app decides by itself, and a Flower app without its strategy."""
    strategy, workload = scenario.strategy, scenario.workload
    decides = isinstance(strategy, ServerAppStrategy)
    if not isinstance(workload, FlowerWorkload):
        if decides:
            why = "only a Flower app has a ServerApp: it goes with workload flower"
            raise misfit(("strategy", "kind"), strategy.kind, why)
        return
    if not decides:
        raise misfit(("strategy", "kind"), strategy.kind, "the app decides by itself; accepted: server_app")
    for key in _APPS_OWN:
        if getattr(scenario, key) != type(scenario).model_fields[key].get_default():
            why = f"that is the Flower app's own business; with workload flower, leave {key} out"
            raise misfit((key,), None, why)
    if not isinstance(scenario.executor, Auto | Serial | Processes | Ray):
        why = "ClientApps are Flower's to train; accepted: auto, serial, processes, ray"
        raise misfit(("executor", "kind"), scenario.executor.kind, why)
    if scenario.executor.precision != "float32":
        why = "ClientApps choose it themselves; with workload flower, accepted: float32"
        raise misfit(("executor", "precision"), scenario.executor.precision, why)
