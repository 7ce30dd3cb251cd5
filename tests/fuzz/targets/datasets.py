"""Data of one's own: tables, LEAF's JSON, images, text."""

from functools import cache

from flsim.learn.datasets.samples import load
from flsim.learn.datasets.tables.files import file_of
from flsim.scenario.data import Mnist
from flsim.scenario.images import Femnist, ImageFolder
from flsim.scenario.text import Text
from tests.fuzz.place import folder, placed
from tests.fuzz.target import CORPUS, Target


def _rows(name: str, content: bytes) -> None:
    source = file_of(placed(name, content))
    for batch in source.batches(source.names()):
        batch.validate(full=True)


def table_csv(content: bytes) -> None:
    _rows("rows.csv", content)


def table_parquet(content: bytes) -> None:
    _rows("rows.parquet", content)


def leaf(content: bytes) -> None:
    placed("femnist/train/one.json", content)
    placed("femnist/test/one.json", (CORPUS / "leaf" / "one.json").read_bytes())
    load(Femnist(root=str(folder())), 0.2, 0)


@cache
def _other_class() -> None:
    placed("images/b/one.png", (CORPUS / "image" / "one.png").read_bytes())
    placed("images/b/two.png", (CORPUS / "image" / "one.png").read_bytes())
    placed("images/a/two.png", (CORPUS / "image" / "one.png").read_bytes())


def image(content: bytes) -> None:
    _other_class()
    path = placed("images/a/one.png", content)
    load(ImageFolder(path=str(path.parent.parent), size=4), 0.5, 0)


def text(content: bytes) -> None:
    path = str(placed("said.txt", content))
    load(Text(file=path, owner=r"^([A-Z]+)\.$", length=2), 0.2, 0)


def idx(content: bytes) -> None:
    """Images in MNIST's format."""
    for part in ("train", "t10k"):
        placed(f"mnist/MNIST/raw/{part}-labels-idx1-ubyte", bytes([0, 0, 8, 1, 0, 0, 0, 2, 0, 1]))
        placed(f"mnist/MNIST/raw/{part}-images-idx3-ubyte", _images() if part == "t10k" else content)
    load(Mnist(root=str(folder() / "mnist")), 0.2, 0)


def _images() -> bytes:
    return bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(range(196)) * 8


TARGETS = (
    Target("idx", idx, "bytes", lambda: [_images()], share=0.4),
    Target("table_csv", table_csv),
    Target("table_parquet", table_parquet, "table"),
    Target("leaf", leaf, "json"),
    Target("image", image, "bytes"),
    Target("text", text),
)
