"""Datasets of one's own: arrays of a function, and what the package datasets reads."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import misfit
from flsim.scenario.dataset import Dataset
from flsim.scenario.files import FilePath
from flsim.scenario.model import Argument

Name = Annotated[str, Field(min_length=1, max_length=200)]


class ModuleData(Dataset):
    """Arrays that a function of your own returns, by import path.

    It is called with `arguments` and returns a mapping with train_x and train_y, if it likes with test_x
    and test_y, and with owners, the owner of each training row: numpy arrays or tensors. They are taken as
    they are: nothing is scaled.

    `path`: the function, such as `package.module:function`.
    """

    kind: Literal["module"] = "module"
    path: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    arguments: dict[str, Argument] = Field(default_factory=dict)


class HuggingFace(Dataset):
    """Columns of a table of Hugging Face's (extra `huggingface`): local, or with `download` from the hub.

    `path`: a folder that save_to_disk wrote, or a .csv, .json, .jsonl or .parquet file. `name`, `config`
    and `revision`: of the hub. `inputs`: columns of numbers or lists of numbers, which are joined, or one
    of images of one size; all standardised with the training rows. `label` is their class, `owner` whose
    they are. No code of a dataset is ever run.

    `train`: the name of the split to train on. `test`: that of the split to test on, if there is one.
    """

    kind: Literal["huggingface"] = "huggingface"
    path: FilePath | None = None
    name: Name | None = None
    config: Name | None = None
    revision: Name | None = None
    download: bool = False
    inputs: Annotated[tuple[Name, ...], Field(min_length=1)]
    label: Name = "label"
    owner: Name | None = None
    train: Name = "train"
    test: Name = "test"

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if (self.path is None) == (self.name is None):
            raise misfit((), self.path or self.name, "give either path or name")
        if self.name is not None and not self.download:
            why = "it is on Hugging Face's hub: set download: true, or give the path of a local copy"
            raise misfit(("name",), self.name, why)
        if self.path is not None:
            for key in ("config", "revision"):
                if (given := getattr(self, key)) is not None:
                    raise misfit((key,), given, "is of the hub: it goes with name")
        return self
