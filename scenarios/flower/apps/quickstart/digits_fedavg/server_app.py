"""What the server does: FedAvg, a test of the model after each round, and the final model in a file."""

import random
from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits_fedavg.task import Net, central_test, initial_model
from digits_fedavg.task import test as test_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for as many rounds as the run config says."""
    run = context.run_config
    random.seed(run["seed"])  # the strategy samples nodes with it
    arrays = ArrayRecord(initial_model(run["seed"]).state_dict())
    strategy = FedAvg(fraction_train=run["fraction-train"], fraction_evaluate=run["fraction-evaluate"])
    result = strategy.start(
        grid=grid,
        initial_arrays=arrays,
        train_config=ConfigRecord({"lr": run["learning-rate"]}),
        num_rounds=run["num-server-rounds"],
        evaluate_fn=global_evaluate,
    )
    if run["output-dir"]:
        folder = Path(run["output-dir"])
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(result.arrays.to_torch_state_dict(), folder / "final_model.pt")


def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    """Test the global model on the samples that no node has."""
    model = Net()
    model.load_state_dict(arrays.to_torch_state_dict())
    loss, accuracy = test_model(model, central_test())
    return MetricRecord({"loss": loss, "accuracy": accuracy})
