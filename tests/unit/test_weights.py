"""A model's weights as one flat vector."""

import pytest
import torch
from torch import nn

from flsim.learn.weights import Layout


def module(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))


def test_flattening_keeps_every_parameter_in_order() -> None:
    of = module()
    flat = Layout(of).flatten(of)
    assert flat.shape == (3 * 4 + 4 + 4 * 2,)
    assert flat.dtype == torch.float32
    assert torch.equal(flat, nn.utils.parameters_to_vector(of.parameters()))
    assert not flat.requires_grad


def test_flattening_copies() -> None:
    of = module()
    flat = Layout(of).flatten(of)
    before = flat.clone()
    with torch.no_grad():
        of[0].weight.add_(1)
    assert torch.equal(flat, before)


def test_views_are_the_parameters_and_share_memory() -> None:
    of = module()
    layout = Layout(of)
    flat = layout.flatten(of)
    views = layout.views(flat)
    assert list(views) == ["0.weight", "0.bias", "2.weight"]
    for name, parameter in of.named_parameters():
        assert torch.equal(views[name], parameter)
    views["2.weight"].fill_(7)
    assert (flat[-8:] == 7).all()
    assert (flat[:-8] != 7).all()


def test_views_keep_leading_dimensions() -> None:
    layout = Layout(module())
    flat = torch.arange(2.0 * 5 * layout.parameters).view(2, 5, layout.parameters)
    views = layout.views(flat)
    assert views["0.weight"].shape == (2, 5, 4, 3)
    assert torch.equal(views["0.weight"][1, 3], layout.views(flat[1, 3])["0.weight"])


def test_bytes_on_the_wire() -> None:
    assert Layout(module()).size_bytes == 4 * 24


def test_the_hash_is_of_names_shapes_and_values() -> None:
    of = module()
    layout = Layout(of)
    flat = layout.flatten(of)
    known = layout.sha256(flat)
    assert known == Layout(module()).sha256(flat.clone())
    changed = flat.clone()
    changed[5] = torch.nextafter(changed[5], torch.tensor(9.0))
    assert layout.sha256(changed) != known
    renamed = nn.Sequential(nn.Identity(), *module())
    assert Layout(renamed).sha256(flat) != known
    reshaped = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(4, 2), nn.Identity())
    with pytest.raises(RuntimeError):
        Layout(reshaped).views(flat)
    assert Layout(reshaped).sha256(flat) != known


def test_a_known_hash() -> None:
    """A promise: whoever keeps a hash can check weights against it later."""
    layout = Layout(nn.Linear(2, 1))
    assert layout.sha256(torch.tensor([1.0, -2.0, 0.5])) == (
        "a9607a008ef46886b252ec9f086973779d30a06e1752fe8c41f9dd834c81f731"
    )
