"""`executor`: how the training of many clients is carried out. All kinds give the same updates."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds

Count = Annotated[int, Field(ge=1)]


class Executor(Component):
    """How tasks are trained. The timeline is the same on every kind, the weights to round-off.

    With `precision: bfloat16`, products are computed in bfloat16; weights and updates stay float32.

    `precision`: of products; weights and updates are float32 in both cases.
    """

    precision: Literal["float32", "bfloat16"] = "float32"


class InProcess(Executor):
    """Training in flsim's own process, and so on any `device` that torch has."""

    device: Literal["cpu", "cuda"] = "cpu"


class Auto(InProcess):
    """The kind that fixed rules choose from the model, the work of a task, the device and the cores."""

    kind: Literal["auto"] = "auto"


class Serial(InProcess):
    """One task after the other: the reference."""

    kind: Literal["serial"] = "serial"


class Vmap(InProcess):
    """Clients stacked along a leading dimension, `chunk` at a time, chunks on `threads` cores."""

    kind: Literal["vmap"] = "vmap"
    chunk: Count | None = None
    threads: Count | None = None


class Compile(InProcess):
    """As `vmap`, compiled by torch. The first tasks wait for the compiler.

    `chunk`: clients stacked at a time; by default so many as fit into a core's share of the cache.
    `threads`: cores that train; by default all.
    """

    kind: Literal["compile"] = "compile"
    chunk: Count | None = None
    threads: Count | None = None


class Processes(Executor):
    """Worker processes, one thread each, by default one for every core.

    `workers`: how many processes; by default one for every core.
    """

    kind: Literal["processes"] = "processes"
    workers: Count | None = None


class Ray(Executor):
    """Workers on a Ray cluster: the one at `address`, or one that is started here.

    `workers`: how many; by default one for every core of the cluster.
    """

    kind: Literal["ray"] = "ray"
    address: str | None = None
    workers: Count | None = None


AnyExecutor = Annotated[Executor, Kinds(Executor, Auto, Serial, Vmap, Compile, Processes, Ray)]
