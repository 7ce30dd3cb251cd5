"""What pages of the documentation say is printed is printed."""

import re
from pathlib import Path

import pytest

from tests.cookbook import Recipe, recipes

RECIPES = recipes()
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")


def test_every_question_of_the_cookbook_has_an_answer() -> None:
    page = next(recipe.page for recipe in RECIPES if recipe.page.stem == "cookbook")
    titles = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert [recipe.title for recipe in RECIPES if recipe.page == page] == titles
    assert all(recipe.printed.strip() for recipe in RECIPES)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_the_page_has_what_is_printed(recipe: Recipe, tmp_path: Path) -> None:
    """Times are the same everywhere; what was learned may differ by round-off, and words not at all."""
    printed = recipe.run(tmp_path)
    assert _words(printed) == _words(recipe.printed)
    for given, shown in zip(_numbers(printed), _numbers(recipe.printed), strict=True):
        assert given == pytest.approx(shown, rel=0.05, abs=0.02), printed


def _words(text: str) -> list[str]:
    """Return the words, without numbers, hashes, which follow from numbers, and rules of tables."""
    without = re.sub(r"\b(?=\w*\d)[0-9a-f]{8,12}\b", "HASH", text)
    return _NUMBER.sub("N", re.sub(r"[─-]{2,}", "", without)).split()


def _numbers(text: str) -> list[float]:
    without = re.sub(r"\b(?=\w*\d)[0-9a-f]{8,12}\b", "", text)
    return [float(number.replace(",", "")) for number in _NUMBER.findall(without)]
