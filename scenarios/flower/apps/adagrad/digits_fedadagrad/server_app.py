"""What the server does: the strategy of strategy.py, and a test of the model after each round."""

import random
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from digits_fedadagrad.strategy import DecayingAdagrad
from digits_fedadagrad.task import Net, central_test, initial_model
from digits_fedadagrad.task import test as test_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for as many rounds as the run config says."""
    run = context.run_config
    random.seed(run["seed"])  # the strategy samples nodes with it
    strategy = DecayingAdagrad(
        decay=run["learning-rate-decay"],
        folder=Path(run["output-dir"]) if run["output-dir"] else None,
        fraction_train=run["fraction-train"],
        fraction_evaluate=run["fraction-evaluate"],
        eta=run["server-learning-rate"],
    )
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_model(run["seed"]).state_dict()),
        train_config=ConfigRecord({"lr": run["learning-rate"]}),
        num_rounds=run["num-server-rounds"],
        evaluate_fn=global_evaluate,
    )


def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    """Test the global model on the samples that no node has."""
    model = Net()
    model.load_state_dict(arrays.to_torch_state_dict())
    loss, accuracy = test_model(model, central_test())
    return MetricRecord({"loss": loss, "accuracy": accuracy})
