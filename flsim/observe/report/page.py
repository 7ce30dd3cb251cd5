"""The report as HTML: one file that asks for nothing, and in which data is never markup.

Every text is escaped, figures are JSON in a block that is not a script, and the page's own policy lets run
only the two scripts whose hashes it gives: plotly.js and page.js. Nothing is fetched, so nothing is sent.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from flsim.observe.report.parts import Figure, Note, Part, Source, Tab, Table, Terms, Tiles

_HINT = "Drag to zoom, double-click for all; with the keyboard: plus, minus, arrows, and zero for all."
_BUTTONS = (
    ("in", "Zoom in"),
    ("out", "Zoom out"),
    ("left", "Earlier"),
    ("right", "Later"),
    ("all", "Show all"),
)


def page(title: str, lines: Sequence[str], tabs: Sequence[Tab]) -> str:
    """Return the page: a title, a few lines below it, and the tabs."""
    figures = {
        part.name: [view for _, view in part.views]
        for tab in tabs
        for part in tab.parts
        if isinstance(part, Figure)
    }
    scripts = [plotly(), _own("page.js")]
    allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        '<link rel="icon" href="data:,">\n'
        f"<style>\n{_own('page.css')}</style>\n</head>\n"
    )
    return "".join(
        [
            head,
            '<body>\n<a class="skip" href="#content">Skip to the content</a>\n',
            f"<header><div><h1>{escape(title)}</h1>",
            *(f"<p>{escape(line)}</p>" for line in lines),
            '</div><button type="button" id="theme" class="theme js-only">Theme</button></header>\n',
            _tab_list(tabs),
            '<main id="content">\n',
            *(_panel(tab) for tab in tabs),
            "</main>\n",
            f'<script type="application/json" id="figures">{_json(figures)}</script>\n',
            *(f"<script>{script}</script>\n" for script in scripts),
            "</body>\n</html>\n",
        ]
    )


def plotly() -> str:
    """Return plotly.js as the Python package brings it."""
    return _script((files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8"))


def _own(name: str) -> str:
    return _script((files("flsim.observe.report") / name).read_text("utf-8"))


def _script(text: str) -> str:
    """Return a script as a browser reads it, so that its hash is the same."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(data: object) -> str:
    """Return JSON in which no character can end the block that it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _tab_list(tabs: Sequence[Tab]) -> str:
    buttons = "".join(
        f'<button type="button" role="tab" id="tab-{tab.name}" aria-controls="panel-{tab.name}" '
        f'aria-selected="false" tabindex="-1">{escape(tab.title)}</button>'
        for tab in tabs
    )
    label = "Parts of the report"
    tabs_of = f'<div role="tablist" aria-label="{label}" class="js-only">{buttons}</div>'
    return f'<nav aria-label="{label}">{tabs_of}</nav>\n'


def _panel(tab: Tab) -> str:
    content = "".join(_part(part) for part in tab.parts)
    return (
        f'<section role="tabpanel" id="panel-{tab.name}" aria-labelledby="tab-{tab.name}">\n'
        f"<h2>{escape(tab.title)}</h2>\n{content}</section>\n"
    )


def _part(part: Part) -> str:
    match part:
        case Tiles():
            tiles = "".join(
                f"<li><span>{escape(tile.label)}</span><b>{escape(tile.value)}</b>"
                f"<span>{escape(tile.detail)}</span></li>"
                for tile in part.tiles
            )
            return f'<ul class="tiles">{tiles}</ul>\n'
        case Note():
            return f"<p>{escape(part.text)}</p>\n"
        case Terms():
            terms = "".join(f"<dt>{escape(word)}</dt><dd>{escape(text)}</dd>" for word, text in part.terms)
            return f"<dl>{terms}</dl>\n"
        case Source():
            label = escape(part.title)
            return (
                f"<h3>{label}</h3>\n"
                f'<div class="scroll source" tabindex="0" role="region" aria-label="{label}">'
                f"<pre>{escape(part.text)}</pre></div>\n"
            )
        case Table():
            return _table(part)
        case Figure():
            return _figure(part)


def _figure(figure: Figure) -> str:
    name, title = figure.name, escape(figure.title)
    tools = ""
    if len(figure.views) > 1:
        options = "".join(
            f'<label class="choice"><input type="radio" name="{name}-view" data-of="{name}" '
            f'data-choose="{place}"{" checked" if place == 0 else ""}><span>{escape(label)}</span></label>'
            for place, (label, _) in enumerate(figure.views)
        )
        tools = f'<fieldset class="tools js-only" aria-label="Views of: {title}">{options}</fieldset>\n'
    if figure.buttons:
        tools += '<div class="tools js-only" role="group" aria-label="Zoom">' + "".join(
            f'<button type="button" data-of="{name}" data-zoom="{action}">{label}</button>'
            for action, label in _BUTTONS
        )
        tools += "</div>\n"
    return (
        f'<figure aria-labelledby="{name}-title"><figcaption><h3 id="{name}-title">{title}</h3>'
        f'<p class="says" id="{name}-says">{escape(figure.says)}</p></figcaption>\n{tools}'
        f'<div class="plot" id="{name}" tabindex="0" role="group" aria-roledescription="chart" '
        f'aria-label="{title}. {_HINT}" aria-describedby="{name}-says" '
        f'data-height="{figure.height}" style="min-height:{figure.height}px"></div>\n'
        f'<details><summary aria-label="{title}: as a table">As a table</summary>'
        f"{_table(figure.table)}</details></figure>\n"
    )


def _table(table: Table) -> str:
    words = {0} | table.words

    def cells(row: Sequence[str], kind: str) -> str:
        found = []
        for column, text in enumerate(row):
            tag, scope = ("th", ' scope="row"') if column == 0 else ("td", "")
            if kind == "head":
                tag, scope = "th", ' scope="col"'
            style = ' class="words"' if column in words else ""
            found.append(f"<{tag}{scope}{style}>{escape(text)}</{tag}>")
        return f"<tr>{''.join(found)}</tr>"

    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    caption = escape(table.caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f"<table><caption><span>{caption}</span></caption><thead>{cells(table.headings, 'head')}</thead>"
        f"<tbody>{''.join(cells(row, 'body') for row in table.rows)}</tbody></table></div>{note}\n"
    )
