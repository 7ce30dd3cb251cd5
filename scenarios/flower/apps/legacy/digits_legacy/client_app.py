"""What a node does, as a NumPyClient."""

import torch
from flwr.app import Context
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp
from flwr.common import NDArrays, Scalar

from digits_legacy.task import Net, Samples, node_data, shuffling, test, train


class DigitsClient(NumPyClient):
    """Trains and tests on the samples of one node."""

    def __init__(
        self, train_data: Samples, test_data: Samples, partition: int, run: dict[str, Scalar]
    ) -> None:
        self.train_data = train_data
        self.test_data = test_data
        self.partition = partition
        self.run = run

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        model = _with(parameters)
        run = self.run
        generator = shuffling(run["seed"], self.partition, config["server-round"])
        losses = train(
            model, self.train_data, run["local-epochs"], run["learning-rate"], run["batch-size"], generator
        )
        weights = [values.numpy() for values in model.state_dict().values()]
        return weights, len(self.train_data[1]), {"train_loss": losses[-1]}

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        loss, accuracy = test(_with(parameters), self.test_data)
        return loss, len(self.test_data[1]), {"accuracy": accuracy}


def _with(parameters: NDArrays) -> Net:
    """Return a model with these weights."""
    model = Net()
    names = model.state_dict().keys()
    model.load_state_dict(
        {name: torch.tensor(values) for name, values in zip(names, parameters, strict=True)}
    )
    return model


def client_fn(context: Context) -> Client:
    """Return the client of a node."""
    node, run = context.node_config, context.run_config
    train_data, test_data = node_data(node["partition-id"], node["num-partitions"], run["alpha"])
    return DigitsClient(train_data, test_data, node["partition-id"], run).to_client()


app = ClientApp(client_fn=client_fn)
