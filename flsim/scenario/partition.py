"""`workload.data.partition`: which client holds which of the training samples."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.scenario.files import FilePath
from flsim.scenario.model import Argument


def inner_tuples(value: object) -> object:
    """Return a list of lists as tuples."""
    if not isinstance(value, tuple | list):
        return value
    return tuple(tuple(inner) if isinstance(inner, list) else inner for inner in value)


Label = Annotated[int, Field(ge=0)]
LabelLists = Annotated[
    tuple[Annotated[tuple[Label, ...], Field(min_length=1)], ...],
    Field(min_length=1),
    BeforeValidator(inner_tuples),
]


class Partition(Component):
    """How the training samples are dealt to the clients: disjoint, and none left over unless it says so.

    Everybody has at least `min_samples`.
    """

    min_samples: Annotated[int, Field(ge=0)] = 1


class Iid(Partition):
    """Shuffled and cut into near-equal chunks."""

    kind: Literal["iid"] = "iid"


class Dirichlet(Partition):
    """Each class is split over the clients by shares drawn from Dir(alpha) (Hsu et al., 2019).

    `alpha`: the smaller, the fewer classes a client has.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: Annotated[float, Field(gt=0)] = 0.5


class Shard(Partition):
    """Sorted by label, cut into equal shards, `shards` of them to each client (McMahan et al., 2017)."""

    kind: Literal["shard"] = "shard"
    shards: Annotated[int, Field(ge=1)] = 2


class LabelGroup(Section):
    """So many clients, with consecutive ids, who hold all samples of these labels.

    `clients`: how many. `labels`: the classes that are theirs.
    """

    clients: Annotated[int, Field(ge=1)]
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]


class LabelGroups(Partition):
    """Groups of clients with labels of their own, in near-equal chunks within a group.

    `groups`: from the first client on.
    """

    kind: Literal["label_groups"] = "label_groups"
    groups: Annotated[tuple[LabelGroup, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _labels_have_one_group(self) -> Self:
        check_one_group(group.labels for group in self.groups)
        return self


class Natural(Partition):
    """Everybody's own samples: whole owners to the clients, such as writers or banks (Caldas et al., 2018).

    A sample never leaves its owner for another client. As many clients as owners have one each, in the
    owners' order. With fewer clients, `owners: all` puts owners together, near-equal by samples, and
    `owners: drawn` leaves out those that are not drawn, and never draws one with less than `min_samples`.
    """

    kind: Literal["natural"] = "natural"
    owners: Literal["all", "drawn"] = "all"


class LabelSkew(Partition):
    """Clients of near-equal size with a majority class each: `share` of their samples, the rest at random.

    The non-IID level of Wang et al. (INFOCOM 2020). The rest may be of the majority class as well.
    """

    kind: Literal["label_skew"] = "label_skew"
    share: Annotated[float, Field(gt=0, le=1)] = 0.8


class QuantityDirichlet(Partition):
    """IID samples, and sizes by shares drawn from Dir(alpha) (Li et al., 2022).

    `alpha`: the smaller, the less equal are the sizes.
    """

    kind: Literal["quantity_dirichlet"] = "quantity_dirichlet"
    alpha: Annotated[float, Field(gt=0)] = 0.5


class QuantityPowerLaw(Partition):
    """IID samples, and sizes by a power law: the r-th largest client has in proportion to r^-exponent.

    `exponent`: 0 makes all sizes equal.
    """

    kind: Literal["quantity_power_law"] = "quantity_power_law"
    exponent: Annotated[float, Field(gt=0)] = 1.0


class TwoTierDirichlet(Partition):
    """Each class is split over groups of clients by Dir(alpha_groups), inside them by Dir(alpha_clients).

    `groups`: how many there are, near-equal, or how many clients each has; ids are consecutive.

    `alpha_groups`: the smaller, the fewer classes a group has. `alpha_clients`: the same of a client in its
    group.
    """

    kind: Literal["two_tier_dirichlet"] = "two_tier_dirichlet"
    groups: (
        Annotated[int, Field(ge=1)]
        | Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    )
    alpha_groups: Annotated[float, Field(gt=0)] = 0.5
    alpha_clients: Annotated[float, Field(gt=0)] = 0.2


class LabelGroupDirichlet(Partition):
    """Groups of classes are split over the clients by Dir(alpha): the classes of a group come together.

    `groups`: lists of classes. `alpha`: the smaller, the fewer groups a client has.
    """

    kind: Literal["label_group_dirichlet"] = "label_group_dirichlet"
    groups: LabelLists
    alpha: Annotated[float, Field(gt=0)] = 0.5

    @model_validator(mode="after")
    def _labels_have_one_group(self) -> Self:
        check_one_group(self.groups)
        return self


class FilePartition(Partition):
    """What a file says: columns sample and client (.csv, .parquet), or a list for each client (.json).

    `path`: the file.
    """

    kind: Literal["file"] = "file"
    path: FilePath


class Flower(Partition):
    """A partitioner of flwr-datasets (extra `huggingface`), by the name of its class.

    It may leave samples over. The table that it deals has the columns row, label and, where the dataset
    says so, owner.

    `partitioner`: the name of the class. `arguments`: what it is called with.
    """

    kind: Literal["flower"] = "flower"
    partitioner: Annotated[str, Field(pattern=r"^[A-Za-z]+$")]
    arguments: dict[str, Argument] = Field(default_factory=dict)


def check_one_group(groups: Iterable[Iterable[int]]) -> None:
    """Raise a misfit if a label is in two groups, or twice in one."""
    labels = [label for group in groups for label in group]
    if len(set(labels)) < len(labels):
        raise misfit(("groups",), labels, "a label belongs to one group only")


AnyPartition = Annotated[
    Partition,
    Kinds(
        Partition,
        Iid,
        Dirichlet,
        Shard,
        LabelGroups,
        Natural,
        LabelSkew,
        QuantityDirichlet,
        QuantityPowerLaw,
        TwoTierDirichlet,
        LabelGroupDirichlet,
        FilePartition,
        Flower,
    ),
]
