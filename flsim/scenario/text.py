"""Texts as datasets: which token comes next."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import misfit
from flsim.scenario.dataset import Dataset
from flsim.scenario.files import FilePath
from flsim.scenario.patterns import what_is_wrong


class TextData(Dataset):
    """A text in windows of `length` tokens; what is asked at each is the token after it.

    Of the tokens in the training windows, the `vocabulary` most frequent ones are told apart (all of them,
    if that is not given); the others are one unknown token. Bytes are always all told apart.

    `tokens`: what a text is cut into.
    """

    tokens: Literal["characters", "words", "bytes"] = "characters"
    length: Annotated[int, Field(ge=1)] = 64
    vocabulary: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _bytes_are_all_told_apart(self) -> Self:
        if self.tokens == "bytes" and self.vocabulary is not None:
            raise misfit(
                ("vocabulary",), self.vocabulary, "tokens: bytes has all 256 of them; leave it out"
            )
        return self


class Text(TextData):
    """A UTF-8 text of your own, from a `file`; matches of the pattern `owner` say who speaks from there on.

    The one group of the pattern is the owner's name. What matches is not part of the text, nor is what
    comes before the first match. A match is within a line, and within its first 200 characters; `^` and `$`
    are the line's. Patterns that could take for ever, such as `(a+)+`, are refused.
    """

    kind: Literal["text"] = "text"
    file: FilePath
    owner: str | None = None

    @model_validator(mode="after")
    def _pattern_has_one_group(self) -> Self:
        if self.owner is None:
            return self
        try:
            if (wrong := what_is_wrong(self.owner)) is not None:
                raise misfit(("owner",), self.owner, f"could take for ever: {wrong}")
            groups = re.compile(self.owner, re.MULTILINE).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise misfit(("owner",), self.owner, f"not a regular expression: {error}") from error
        if groups != 1:
            why = f"needs one group, which is the owner's name, and has {groups}; for others, write (?:…)"
            raise misfit(("owner",), self.owner, why)
        return self


class PythonTopics(TextData):
    """What Python's own help() says on its topics, which are the owners: another text in each Python."""

    kind: Literal["python_topics"] = "python_topics"


class Shakespeare(TextData):
    """The plays of Shakespeare, whose roles are the owners (extra `text`): all 38, or some by name.

    `plays`: their names; none of them means all.
    """

    kind: Literal["shakespeare"] = "shakespeare"
    plays: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")], ...] = ()
