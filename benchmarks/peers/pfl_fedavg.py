"""Federated averaging by pfl, set up as its tutorials do: one process, or one for every core.

python -m benchmarks.peers.pfl_fedavg --images images.npz --variant mlp
torchrun --nproc-per-node 2 -m benchmarks.peers.pfl_fedavg --images images.npz --variant mlp --threads 1

A user's data set is made once and kept, which is faster than pfl's `from_slices`. pfl does not shuffle a
user's samples between epochs, so it does a little less work than the others.
"""

import os
from typing import Any

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.callback.central_evaluation import CentralEvaluationCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.peers.common import (
    BATCH,
    CLIENTS,
    COHORT,
    EPOCHS,
    LEARNING_RATE,
    Report,
    asked,
    network,
    read_images,
)


class Classifier(nn.Module):
    """A network with the loss and the metrics that pfl asks for."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.network = network(variant)

    def loss(self, x: Tensor, y: Tensor, is_eval: bool = False) -> Tensor:
        self.train(not is_eval)
        return cross_entropy(self.network(x), y)

    @torch.no_grad()
    def metrics(self, x: Tensor, y: Tensor, is_eval: bool = True) -> dict[str, Any]:
        self.train(not is_eval)
        scores = self.network(x)
        return {
            "loss": Weighted(cross_entropy(scores, y, reduction="sum").item(), len(y)),
            "accuracy": Weighted(int((scores.argmax(dim=1) == y).sum()), len(y)),
        }


class Timed(CentralEvaluationCallback):
    """pfl's central test, which takes down when it is done."""

    def __init__(self, test: Dataset, params: NNEvalHyperParams, report: Report) -> None:
        super().__init__(test, model_eval_params=params)
        self._report = report

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: Any, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        stop, metrics = self._eval(model)
        tested = metrics.to_simple_dict()["Central val | accuracy"]
        self._report.round_over(float(tested))
        # After its first iteration pfl tests nothing, because it has the first model's test to show.
        return stop, metrics if central_iteration else Metrics()


def main() -> None:
    asking = asked(__doc__, threads=1)
    images = read_images(asking.images)
    users = {str(client): Dataset(images.of(client), user_id=str(client)) for client in range(CLIENTS)}
    data = FederatedDataset(users.__getitem__, get_user_sampler("minimize_reuse", list(users)))
    classifier = Classifier(asking.variant)
    model = PyTorchModel(
        model=classifier,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(classifier.parameters(), lr=1.0),
    )
    evaluation = NNEvalHyperParams(local_batch_size=None)
    test = Dataset((images.test_x, images.test_y), eval_kwargs={"is_eval": True})
    callbacks: list[TrainingProcessCallback] = [Timed(test, evaluation, asking.report)]
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=asking.rounds,
            # Users' own metrics before and after training: in the first iteration only, pfl's least.
            evaluation_frequency=asking.rounds + 1,
            train_cohort_size=COHORT,
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(training_data=data, val_data=data),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=EPOCHS, local_learning_rate=LEARNING_RATE, local_batch_size=BATCH
        ),
        model_eval_params=evaluation,
        callbacks=callbacks,
        send_metrics_to_platform=False,  # or it prints them all
    )
    if os.environ.get("RANK", "0") == "0":
        asking.report.print()


if __name__ == "__main__":
    main()
