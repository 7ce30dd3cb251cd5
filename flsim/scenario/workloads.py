"""The kinds of `workload`."""

from typing import Annotated

from flsim.component import Kinds
from flsim.scenario.flower import FlowerWorkload
from flsim.scenario.workload import SyntheticWorkload, TorchWorkload, Workload

AnyWorkload = Annotated[Workload, Kinds(Workload, TorchWorkload, SyntheticWorkload, FlowerWorkload)]
