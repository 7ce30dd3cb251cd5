"""What the server does: FedBuff, a test of every version, and the final model and the history in files."""

import json
from pathlib import Path

import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from digits_fedbuff.strategy import FedBuff
from digits_fedbuff.task import Net, central_test, initial_model
from digits_fedbuff.task import test as test_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train until as many versions have been made as the run config says."""
    run = context.run_config
    strategy = FedBuff(
        concurrency=run["concurrency"],
        buffer_size=run["buffer-size"],
        lr=run["server-learning-rate"],
        ttl=run["message-ttl"],
        poll_interval=run["poll-interval"],
        seed=run["seed"],
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_model(run["seed"]).state_dict()),
        num_rounds=run["num-server-updates"],
        evaluate_fn=global_evaluate,
    )
    if run["output-dir"]:
        folder = Path(run["output-dir"])
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(result.arrays.to_torch_state_dict(), folder / "final_model.pt")
        history = [
            {"version": version, "seconds": strategy.seconds[version], **metrics}
            for version, metrics in result.evaluate_metrics_serverapp.items()
        ]
        (folder / "history.json").write_text(json.dumps(history, indent=2) + "\n")


def global_evaluate(version: int, arrays: ArrayRecord) -> MetricRecord:
    """Test the global model on the samples that no node has."""
    model = Net()
    model.load_state_dict(arrays.to_torch_state_dict())
    loss, accuracy = test_model(model, central_test())
    return MetricRecord({"loss": loss, "accuracy": accuracy})
