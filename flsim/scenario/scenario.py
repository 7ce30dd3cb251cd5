"""The scenario: one YAML file, one run."""

import hashlib
import json
from typing import Annotated, Self

from pydantic import Field, model_validator

from flsim.component import Section, misfit
from flsim.policy import AnySelection, AnyStrategy
from flsim.policy.selections import UniformSelection
from flsim.scenario.aggregation import Mean
from flsim.scenario.attack import AnyAttack
from flsim.scenario.checkpoint import Checkpoint
from flsim.scenario.client_privacy import AnyPrivacy
from flsim.scenario.compression import Compression
from flsim.scenario.drifting import check_drift
from flsim.scenario.executor import AnyExecutor, Auto
from flsim.scenario.fleet import Fleet
from flsim.scenario.flower import check_flower
from flsim.scenario.flower_strategy import check_flower_strategy
from flsim.scenario.governance import Governance
from flsim.scenario.hierarchy import Hierarchy, check_hierarchy, edge_count
from flsim.scenario.leakage import Leakage
from flsim.scenario.nested_aggregation import AnyAggregation
from flsim.scenario.network import Network
from flsim.scenario.output import Output
from flsim.scenario.personalization import AnyPersonalization
from flsim.scenario.secure_buffer import AnySecureAggregation
from flsim.scenario.server import Evaluate, Stop
from flsim.scenario.server_optimizer import AnyServerOptimizer, ServerSgd
from flsim.scenario.tracking import AnyTracker, check_trackers
from flsim.scenario.training import Training
from flsim.scenario.workload import TorchWorkload
from flsim.scenario.workloads import AnyWorkload


class Scenario(Section):
    """Which fleet, over which network, trains which model, with which strategy.

    `name`: that of the folder with the results.
    `seed`: of every draw; the same seed gives the same run.
    `workload`: what clients train, or how much work that is.
    `fleet`: the clients, how fast they are, and when they are there.
    `network`: the links between clients and server.
    `strategy`: when clients are asked, and when a version is made.
    `selection`: which clients are asked.
    `aggregation`: how updates become one.
    `server_optimizer`: the step that the server makes of that.
    `personalization`: models of the clients' own; none means that all have the global one.
    `hierarchy`: edge servers between clients and server; none means that there are none.
    `privacy`: noise, and what it hides; none means no noise.
    `compression`: what goes over the wire; none means float32.
    `attack`: clients that attack; none means that all are honest.
    `leakage`: attacks on what is seen of training, as a measure; none means no attack.
    `secure_aggregation`: sums of updates in the place of updates; none means that the server sees each.
    `stop`: when the run ends.
    `evaluation`: when models are tested, and what is measured.
    `executor`: how training is carried out, which changes results by round-off only.
    `output`: where results go, and which there are.
    `checkpoint`: how often a run is saved, so that it goes on if it is killed; none means never.
    `tracking`: other programs that are given the metrics, such as TensorBoard.
    `governance`: an audit log and a manifest; none means that there are none.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    workload: AnyWorkload
    fleet: Fleet
    network: Network = Network()
    strategy: AnyStrategy
    selection: AnySelection = UniformSelection()
    aggregation: AnyAggregation = Mean()
    server_optimizer: AnyServerOptimizer = ServerSgd()
    personalization: AnyPersonalization | None = None
    hierarchy: Hierarchy | None = None
    privacy: AnyPrivacy | None = None
    compression: Compression | None = None
    attack: AnyAttack | None = None
    leakage: Leakage | None = None
    secure_aggregation: AnySecureAggregation | None = None
    stop: Stop
    evaluation: Evaluate = Evaluate()
    executor: AnyExecutor = Auto()
    governance: Governance | None = None
    output: Output = Output()
    checkpoint: Checkpoint | None = None
    tracking: tuple[AnyTracker, ...] = ()

    @property
    def served(self) -> int:
        """How many the server has to ask: the clients or, with a hierarchy, the edges."""
        return self.fleet.clients if self.hierarchy is None else edge_count(self.network.topology)

    @property
    def sha256(self) -> str:
        """The hash of all that a run depends on: not of its name, folder, trackers, audit, checkpoints."""
        beside = ("name", "tracking", "governance", "checkpoint")
        data = self.model_dump(mode="json", exclude=dict.fromkeys(beside, True) | {"output": {"dir"}})
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def training(self) -> Training | None:
        """How clients train; None if nothing trains."""
        return self.workload.training if isinstance(self.workload, TorchWorkload) else None

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        """Let every part say whether it can be in such a scenario. The first that cannot is heard."""
        check_flower(self)
        check_flower_strategy(self)
        check_hierarchy(self)
        self._check_fleet()
        if self.secure_aggregation is not None:
            self.secure_aggregation.check(self)
        self.selection.check(self.strategy, self.served)
        self._check_tests()
        if isinstance(self.workload, TorchWorkload) and self.workload.data.drift:
            check_drift(self)
        self._check_stop()
        check_trackers(self.tracking)
        self._check_models()
        model = self.workload.model if isinstance(self.workload, TorchWorkload) else None
        for part in (
            model,
            self.aggregation,
            self.privacy,
            self.personalization,
            self.compression,
            self.attack,
            self.leakage,
        ):
            if part is not None:
                part.check(self)
        return self

    def _check_fleet(self) -> None:
        needed, clients = self.strategy.clients_needed, self.served
        if needed > clients and self.hierarchy is not None:
            why = f"needs {needed} edges at a time, but the tree has {clients}"
            raise misfit(("strategy",), self.strategy.kind, why)
        if needed > clients:
            why = f"the strategy needs {needed} clients at a time, but the fleet has {clients}"
            raise misfit(("fleet", "clients"), clients, why)

    def _check_tests(self) -> None:
        """Check who wants the clients' own tests, and what they need."""
        workload, tests = self.workload, self.evaluation.clients
        if self.selection.needs_client_tests and tests is None:
            why = f"the selection {self.selection.kind} goes by the clients' own tests; give {{every: 1}}"
            raise misfit(("evaluation", "clients"), None, why)
        data = workload.data if isinstance(workload, TorchWorkload) else None
        if tests is not None:
            share = f"client_{tests.on}_share"
            if data is None or not getattr(data, share):
                why = f"clients are tested on samples of their own: it needs workload.data.{share}"
                raise misfit(("evaluation", "clients"), None, why)
        elif data is not None and data.client_validation_share:
            why = (
                "samples would be held out that nobody looks at; give evaluation.clients: {on: validation}"
            )
            raise misfit(("workload", "data", "client_validation_share"), data.client_validation_share, why)

        for key, asked in (
            ("metrics", self.evaluation.metrics),
            ("divergence", self.evaluation.divergence),
        ):
            if asked and not isinstance(workload, TorchWorkload):
                why = "nothing is trained that could be measured: it needs workload torch"
                raise misfit(("evaluation", key), asked, why)

    def _check_models(self) -> None:
        best = self.checkpoint is not None and self.checkpoint.best
        for path, asked in ((("output", "model"), self.output.model), (("checkpoint", "best"), best)):
            if asked and not isinstance(self.workload, TorchWorkload):
                raise misfit(path, asked, "there is no model: it needs workload torch")

    def _check_stop(self) -> None:
        if self.stop.updates is None and self.stop.time is None and not self.strategy.ends_by_itself:
            raise misfit(("stop",), self.stop, "give updates or time, so that the run is sure to end")
        if self.stop.converged is not None and (self.training is None or self.training.epochs < 2):
            why = (
                "a client has converged when its loss hardly changes from one epoch to the next: "
                "it needs workload torch with training.epochs of at least 2"
            )
            raise misfit(("stop", "converged"), self.stop.converged, why)
