"""YAML files: scenarios, grids, search spaces, policies."""

from flsim.govern.policy import read_policy
from flsim.scenario import read_scenario
from flsim.scenario.reading import to_yaml
from flsim.sweeping.grid import read_grids, variations
from flsim.sweeping.space import read_space
from tests.fuzz.place import placed
from tests.fuzz.target import Target


def scenario(content: bytes) -> None:
    """What is accepted can be written, and read again as the same."""
    path = placed("scenario.yaml", content)
    read = read_scenario(path)
    placed("again.yaml", to_yaml(read).encode())
    assert read_scenario(path.with_name("again.yaml")) == read


def grid(content: bytes) -> None:
    variations(read_grids(placed("grid.yaml", content)))


def space(content: bytes) -> None:
    read_space(placed("space.yaml", content))


def policy(content: bytes) -> None:
    read_policy(placed("policy.yaml", content))


TARGETS = (
    Target("scenario", scenario),
    Target("grid", grid),
    Target("space", space),
    Target("policy", policy),
)
