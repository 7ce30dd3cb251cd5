"""Federated averaging by Flower's simulation engine: Ray, one core for every client at work.

python -m benchmarks.peers.flower_fedavg --images images.npz --variant mlp
"""

import logging
import os

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmarks.peers.common import CLIENTS, COHORT, Asked, accuracy, asked, network, read_images
from benchmarks.peers.flower_client import client_app


def server_app(asking: Asked) -> ServerApp:
    """Return the server that carries out the rounds, testing after each."""
    app = ServerApp()
    images = read_images(asking.images)
    module = network(asking.variant)
    config = ConfigRecord({"variant": asking.variant, "images": str(asking.images.absolute())})

    def test(version: int, arrays: ArrayRecord) -> MetricRecord:
        module.load_state_dict(arrays.to_torch_state_dict())
        tested = accuracy(module, images)
        if version:
            asking.report.round_over(tested)
        return MetricRecord({"accuracy": tested})

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(
            fraction_train=COHORT / CLIENTS, fraction_evaluate=0.0, min_available_nodes=CLIENTS
        )
        strategy.start(
            grid,
            initial_arrays=ArrayRecord(module.state_dict()),
            num_rounds=asking.rounds,
            train_config=config,
            evaluate_fn=test,
        )

    return app


def main() -> None:
    asking = asked(__doc__, threads=1)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    cores = len(os.sched_getaffinity(0))
    run_simulation(
        server_app=server_app(asking),
        client_app=client_app,
        num_supernodes=CLIENTS,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": cores, "num_gpus": 0, "log_to_driver": False, "logging_level": 40},
        },
    )
    asking.report.print()


if __name__ == "__main__":
    main()
