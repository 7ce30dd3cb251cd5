"""Every key of a scenario, as Markdown: for the documentation, and for `flsim schema --format markdown`."""

import re
from collections.abc import Callable, Iterator, Sequence

from flsim.component import Kinds
from flsim.scenario.key_types import Word
from flsim.scenario.reference import Chapter, Entry, Key, Place, chapters, only_defines, scenario_keys

_SPECIAL = re.compile(r"(`[^`]*`)|[*_|\\]|(<)")

Link = Callable[[str, str], str]
"""From the name of a chapter and a heading in it to what leads there."""


def reference() -> str:
    """Return the whole reference as one text."""
    found = chapters()
    writer = _Writer(found, lambda _, heading: f"#{_anchor(heading)}")
    return "\n".join([writer.overview(), *(writer.chapter(chapter) for chapter in found)])


def reference_pages() -> dict[str, str]:
    """Return the reference as a page for each chapter by its name, the overview as `index` first."""
    found = chapters()
    writer = _Writer(found, lambda chapter, heading: f"{chapter}.md#{_anchor(heading)}")
    return {"index": writer.overview(), **{chapter.name: writer.chapter(chapter) for chapter in found}}


def _anchor(heading: str) -> str:
    """Return the anchor that Markdown gives a heading."""
    return re.sub(r"[^\w\s-]", "", heading).lower().replace(" ", "-")


class _Writer:
    """Writes chapters, and knows where in them a section or a sort of component is described."""

    def __init__(self, found: Sequence[Chapter], link: Link) -> None:
        self._links: dict[int, str] = {}
        for chapter in found:
            for place in chapter.places:
                there = f"[{place.path}]({link(chapter.name, place.path)})"
                for described in (place.described, *(entry.cls for entry in place.entries)):
                    self._links.setdefault(id(described), there)

    def overview(self) -> str:
        """Return the keys at the top of a scenario."""
        text = (
            "Every key that a scenario can have, written from the schema that scenarios are checked with. "
            "A quantity is a number in the unit that is given here, or text with a unit, such as `50 ms`."
        )
        return "\n".join(["# Every key", "", text, "", *self._table(scenario_keys()), ""])

    def chapter(self, chapter: Chapter) -> str:
        """Return a chapter: its places, each with the section or the kinds that stand there."""
        lines = [f"# {chapter.name}", ""]
        for key in scenario_keys():
            if key.name == chapter.name:
                lines += [_escaped(key.meaning) + _given(key), ""]
        for place in chapter.places:
            is_top = place.path == chapter.name
            lines += [] if is_top else [f"## {place.path}", ""]
            lines += self._place(place, "##" if is_top else "###")
        return "\n".join(lines)

    def _place(self, place: Place, level: str) -> Iterator[str]:
        headings = {entry.kind: f"{place.path}: {entry.kind}" for entry in place.entries if entry.kind}
        if headings:
            kinds = ", ".join(f"[`{kind}`](#{_anchor(heading)})" for kind, heading in headings.items())
            yield from (f"Its `kind` is {kinds}, or `package.module:Class`, one of your own.", "")
        for entry in place.entries:
            if entry.kind:
                yield from (f"{level} {headings[entry.kind]}", "")
            yield from self._entry(entry)

    def _entry(self, entry: Entry) -> Iterator[str]:
        for paragraph in entry.text.split("\n\n"):
            if not only_defines(paragraph):
                yield from (_escaped(" ".join(paragraph.split())), "")
        if entry.keys:
            yield from (*self._table(entry.keys), "")

    def _table(self, keys: Sequence[Key]) -> Iterator[str]:
        yield from ("| key | value | default | meaning |", "|---|---|---|---|")
        for key in keys:
            value = "".join(self._word(word) for word in key.accepts)
            default = "must be given" if key.default is None else _escaped(f"`{key.default}`")
            yield f"| `{key.name}` | {value} | {default} | {_escaped(key.meaning)} |"

    def _word(self, word: Word) -> str:
        if isinstance(word, str):
            return _escaped(word)
        if isinstance(word, Kinds) and id(word) not in self._links:  # other kinds, of classes seen before
            return self._links[id(next(iter(word.classes.values())))]
        return self._links[id(word)]


def _given(key: Key) -> str:
    if key.default is None:
        return " It must be given."
    return "" if key.default == "none" else f" By default `{key.default}`."


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, but for what stands between backticks."""

    def escape(found: re.Match[str]) -> str:
        if found[1]:
            return found[1].replace("|", "\\|")
        return "&lt;" if found[2] else f"\\{found[0]}"

    return _SPECIAL.sub(escape, text)
