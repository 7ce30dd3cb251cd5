"""The leakage meter: attacks what is seen of a server update, and notes how well that works."""

from collections.abc import Sequence

from torch import nn

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.learn.client_data import ClientData
from flsim.learn.datasets import Samples
from flsim.learn.leakage.inversion import Evidence, check_model, matches, reconstruct
from flsim.learn.leakage.membership import Scorer
from flsim.learn.leakage.roc import roc
from flsim.learn.leakage.sight import ProbeDraw, Probes, Sight
from flsim.learn.state import State
from flsim.learn.weights import Layout
from flsim.records import LeakageRecord, LeakageReport, Reconstructed, Reconstruction
from flsim.scenario.leakage import Inversion, Leakage
from flsim.tasks import Task

_FEWEST_PAIRS = 2  # of which something can be told


class LeakageMeter:
    """Owns what the attacks gave. It only looks: nothing in a run depends on it."""

    def __init__(
        self,
        spec: Leakage,
        module: nn.Module,
        layout: Layout,
        data: ClientData,
        samples: Samples,
        seed: int,
    ) -> None:
        """`module`: nobody else's. `data`: what clients train on; `samples`: whose tests nobody does.

        Raises ScenarioError if the attacks do not work on the model, or not for what it is asked.
        """
        if samples.kind != "classes":
            raise ScenarioError(
                "leakage: the attacks are on models that tell classes apart; this dataset has none"
            )
        self._spec = spec
        self._module = module.eval()
        self._layout = layout
        self._draw = ProbeDraw(data, samples.test_x, samples.test_y, spec.samples, seed)
        self._shape = samples.problem.input_shape
        self._low, self._high = float(samples.train_x.min()), float(samples.train_x.max())
        self._order = Stream(seed, "leakage.clients")
        self._starts = Stream(seed, "leakage.start")
        self._scorer: Scorer | None = None
        if spec.membership:
            self._scorer = Scorer(module, layout)
            self._scorer.check(samples.test_x[:2], samples.test_y[:2])
        if spec.inversion is not None:
            check_model(spec.inversion, module, samples.problem.input_shape)
        self._records: list[LeakageRecord] = []
        self._reconstructed: list[Reconstructed] = []

    def is_due(self, version: int) -> bool:
        """Return whether the update that leads to a version, from 1 on, is attacked."""
        return self._spec.is_due(version)

    def chosen(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks whose updates are attacked: those of the same clients, if they are there."""
        of_each = {task.client: task for task in tasks if task.samples}
        clients = sorted(of_each, key=self._order.integer)
        return [of_each[client] for client in clients[: self._spec.clients]]

    def observe(self, sight: Sight) -> None:
        """Attack what somebody sees. Nothing of it is changed."""
        probes = self._draw.probes(sight)
        if self._scorer is not None and len(probes.y) >= _FEWEST_PAIRS:
            self._infer(self._scorer, sight, probes)
        if self._spec.inversion is not None and len(probes.y):
            self._invert(self._spec.inversion, sight, probes)

    def report(self) -> LeakageReport:
        """Return what all attacks gave, in the order of versions."""
        return LeakageReport(tuple(self._records), tuple(self._reconstructed))

    def state(self) -> State:
        return {"records": self._records, "reconstructed": self._reconstructed}

    def restore(self, state: State) -> None:
        self._records = [LeakageRecord(*row) for row in state["records"]]
        self._reconstructed = [
            Reconstructed(version, seen, client, Reconstruction(*sample))
            for version, seen, client, sample in state["reconstructed"]
        ]

    def _infer(self, scorer: Scorer, sight: Sight, probes: Probes) -> None:
        after = sight.base + sight.update
        pairs = [
            ("alignment", [scorer.by_alignment(sight.base, sight.update, x, probes.y) for x in probes[:2]]),
            ("loss", [scorer.by_loss(after, x, probes.y) for x in probes[:2]]),
        ]
        for attack, (members, others) in pairs:
            area, error, sensitivity = roc(members, others)
            self._note(sight, attack, area, 0.5, len(probes.y), error, sensitivity)

    def _invert(self, spec: Inversion, sight: Sight, probes: Probes) -> None:
        evidence = Evidence(
            self._module,
            self._layout,
            sight.base,
            sight.update,
            probes.y,
            self._shape,
            self._low,
            self._high,
            self._starts.integer(sight.tasks[0].client, sight.version),
        )
        candidates = reconstruct(spec, evidence)
        found = matches(candidates, probes, self._low, self._high, spec.pictures)
        self._note(sight, "inversion", found.best_db, found.unrelated_db, len(probes.y))
        self._reconstructed += [
            Reconstructed(sight.version, sight.seen, sight.client, each) for each in found.kept
        ]

    def _note(
        self,
        sight: Sight,
        attack: str,
        score: float,
        baseline: float,
        pairs: int,
        error: float | None = None,
        sensitivity: float | None = None,
    ) -> None:
        self._records.append(
            LeakageRecord(
                sight.version, sight.seen, sight.client, attack, score, baseline, error, sensitivity, pairs
            )
        )
