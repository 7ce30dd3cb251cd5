"""What the server does, as `server_fn`: a strategy of flwr.server, and how many rounds."""

import random

import torch
from flwr.app import Context
from flwr.common import Metrics, NDArrays, Scalar, ndarrays_to_parameters
from flwr.server import ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.serverapp import ServerApp

from digits_legacy.task import Net, central_test, initial_model, test


def weighted_mean(metrics: list[tuple[int, Metrics]]) -> Metrics:
    """Return each metric's mean over the nodes, weighted by their numbers of samples."""
    total = sum(count for count, _ in metrics)
    return {key: sum(count * told[key] for count, told in metrics) / total for key in metrics[0][1]}


def central_evaluate(
    server_round: int, parameters: NDArrays, config: dict[str, Scalar]
) -> tuple[float, dict[str, Scalar]]:
    """Test the global model on the samples that no node has."""
    model = Net()
    names = model.state_dict().keys()
    model.load_state_dict(
        {name: torch.tensor(values) for name, values in zip(names, parameters, strict=True)}
    )
    loss, accuracy = test(model, central_test())
    return loss, {"accuracy": accuracy}


def server_fn(context: Context) -> ServerAppComponents:
    """Return the parts of the server."""
    run = context.run_config
    random.seed(run["seed"])  # clients are sampled with it
    weights = [values.numpy() for values in initial_model(run["seed"]).state_dict().values()]
    strategy = FedAvg(
        fraction_fit=run["fraction-fit"],
        fraction_evaluate=run["fraction-evaluate"],
        initial_parameters=ndarrays_to_parameters(weights),
        on_fit_config_fn=lambda server_round: {"server-round": server_round},
        evaluate_fn=central_evaluate,
        fit_metrics_aggregation_fn=weighted_mean,
        evaluate_metrics_aggregation_fn=weighted_mean,
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=run["num-server-rounds"]))


app = ServerApp(server_fn=server_fn)
