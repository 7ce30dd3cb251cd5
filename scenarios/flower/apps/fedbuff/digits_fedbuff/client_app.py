"""What a node does: train the model that it is sent, and answer with what the training moved."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits_fedbuff.task import Net, node_data, shuffling
from digits_fedbuff.task import train as train_model

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on this node's samples; the reply has the difference: the server need keep no old models."""
    received = message.content["arrays"].to_torch_state_dict()
    version = message.content["config"]["version"]
    node, run = context.node_config, context.run_config
    data, _ = node_data(node["partition-id"], node["num-partitions"], run["alpha"])
    model = Net()
    model.load_state_dict(received)
    generator = shuffling(run["seed"], node["partition-id"], version)
    losses = train_model(
        model, data, run["local-epochs"], run["learning-rate"], run["batch-size"], generator
    )
    moved = {name: values - received[name] for name, values in model.state_dict().items()}
    metrics = MetricRecord({"train_loss": losses[-1], "num-examples": len(data[1])})
    return Message(content=RecordDict({"update": ArrayRecord(moved), "metrics": metrics}), reply_to=message)
