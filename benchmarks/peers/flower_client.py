"""The client of benchmarks/peers/flower_fedavg.py, in a module that Ray's workers can import.

It is the one of Flower's own PyTorch tutorial, less its data loaders: images and network are made once
in every worker, and batches are slices of tensors, both of which make it faster.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from benchmarks.peers.common import Images, network, read_images
from benchmarks.peers.loop import descend

client_app = ClientApp()


@cache
def own_images(path: str) -> Images:
    return read_images(Path(path))


@cache
def own_network(variant: str) -> nn.Module:
    torch.set_num_threads(1)
    return network(variant)


@client_app.train()
def train(message: Message, context: Context) -> Message:
    config: Any = message.content["config"]
    arrays: Any = message.content["arrays"]
    module = own_network(config["variant"])
    module.load_state_dict(arrays.to_torch_state_dict())
    x, y = own_images(config["images"]).of(int(context.node_config["partition-id"]))
    descend(module, x, y)
    content = RecordDict(
        {
            "arrays": ArrayRecord(module.state_dict()),
            "metrics": MetricRecord({"num-examples": len(y)}),
        }
    )
    return Message(content=content, reply_to=message)
