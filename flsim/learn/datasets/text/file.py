"""A text file of the user's own."""

from pathlib import Path

from flsim.errors import ScenarioError
from flsim.learn.datasets.text.corpus import Corpus, passages_by_line, read
from flsim.scenario.text import Text

_MOST_MIB = 32  # of which the windows take twenty times as much in memory


@read.register
def read_file(dataset: Text) -> Corpus:
    """Return the file's text, or that of each owner in it. See `read`."""
    text = _decoded(_content(dataset), dataset)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ScenarioError(f"dataset text: {dataset.file} has no text in it")
    if dataset.owner is None:
        return Corpus((text,))
    said = passages_by_line(text, dataset.owner)
    if not said:
        raise ScenarioError(
            f"dataset text: owner: nobody says anything in {dataset.file} by the pattern {dataset.owner!r}"
        )
    return Corpus(tuple("\n".join(words) for words in said.values()), tuple(said))


def _content(dataset: Text) -> bytes:
    path = Path(dataset.file)
    if not path.is_file():
        why = "is not a file" if path.exists() else "is not there"
        raise ScenarioError(f"dataset text: {path} {why}; dataset.file is to name a text file")
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_MIB * 2**20 + 1)
    except OSError as error:
        raise ScenarioError(f"dataset text: {path} cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_MIB * 2**20:
        raise ScenarioError(f"dataset text: {path} is larger than {_MOST_MIB} MiB; take a part of it")
    return content


def _decoded(content: bytes, dataset: Text) -> str:
    try:
        return content.decode("utf-8", "surrogateescape" if dataset.tokens == "bytes" else "strict")
    except UnicodeDecodeError as error:
        raise ScenarioError(
            f"dataset text: {dataset.file} is not UTF-8: its byte {error.start:,} is "
            f"0x{content[error.start]:02x}; convert it, or take dataset.tokens: bytes"
        ) from error
