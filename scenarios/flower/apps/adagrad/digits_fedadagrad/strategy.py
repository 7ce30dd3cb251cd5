"""FedAdagrad with a learning rate that decays, an ear for what nodes tell, and the best model kept."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdagrad, Result

LOGGER = logging.getLogger("flwr")
EvaluateFn = Callable[[int, ArrayRecord], MetricRecord | None]


class DecayingAdagrad(FedAdagrad):
    """FedAdagrad whose nodes train with lr x decay^(round - 1); the best model goes into `folder`."""

    def __init__(self, *, decay: float, folder: Path | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.decay = decay
        self.folder = folder
        self.best_accuracy = 0.0
        self.best_round: int | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Put the round's learning rate into what the nodes are sent."""
        if server_round > 1:
            config["lr"] *= self.decay
        LOGGER.info("Learning rate of round %d: %.4f", server_round, config["lr"])
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate as ever, and add what the nodes tell of their training."""
        replies = list(replies)
        arrays, metrics = super().aggregate_train(server_round, replies)
        told = [reply.content["training"] for reply in replies if reply.has_content()]
        if metrics is not None and told:
            metrics["converged-share"] = sum(each["converged"] for each in told) / len(told)
            metrics["first-epoch-loss"] = sum(each["epoch-losses"][0] for each in told) / len(told)
            longest = max(each["training-time"] for each in told)
            LOGGER.info("The slowest of %d nodes trained for %.3f s", len(told), longest)
        return arrays, metrics

    def start(self, *args: Any, evaluate_fn: EvaluateFn | None = None, **kwargs: Any) -> Result:
        """Run as ever, and keep the model that the central test likes best."""

        def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            metrics = evaluate_fn(server_round, arrays) if evaluate_fn else None
            if metrics is not None and metrics["accuracy"] > self.best_accuracy:
                self.best_accuracy, self.best_round = metrics["accuracy"], server_round
                self._keep(arrays)
            return metrics

        return super().start(*args, evaluate_fn=evaluate, **kwargs)

    def _keep(self, arrays: ArrayRecord) -> None:
        """Write the best model so far over the one before."""
        LOGGER.info("Best accuracy so far in round %s: %.4f", self.best_round, self.best_accuracy)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            torch.save(arrays.to_torch_state_dict(), self.folder / "best_model.pt")
