"""The page of a run that goes on: empty charts and tables, which `live.js` fills again and again."""

from html import escape
from importlib.resources import files

from flsim.records import Outcome

_TILES = (
    ("state", "State"),
    ("now", "Virtual time"),
    ("version", "Server updates"),
    ("accuracy", "Accuracy"),
    ("loss", "Loss"),
    ("in_flight", "Tasks in flight"),
    ("down", "Bytes down"),
    ("up", "Bytes up"),
)
_CHARTS = (
    ("accuracy-plot", "Accuracy over virtual time", "Of the central test, by version."),
    ("loss-plot", "Loss over virtual time", "Of the central test, by version."),
)
_COLUMNS = ("Version", "Virtual time", "Updates in it", "Mean staleness", "Accuracy", "Loss")


def live_page(name: str) -> str:
    """Return the page of a run of that name."""
    title = escape(f"flsim: {name}")
    tiles = "".join(
        f'<li><span>{label}</span><b id="{key}">–</b><span id="{key}-detail"></span></li>'
        for key, label in _TILES
    )
    charts = "".join(
        f'<figure aria-labelledby="{key}-title"><figcaption><h3 id="{key}-title">{label}</h3>'
        f'<p class="says" id="{key}-says">{says}</p></figcaption>\n'
        f'<div class="plot" id="{key}" role="img" aria-label="{label}" aria-describedby="{key}-says" '
        'style="min-height:300px"></div></figure>\n'
        for key, label, says in _CHARTS
    )
    outcomes = "".join(
        f'<tr><th scope="row">{each.value}</th><td id="ended-{each.value}">–</td></tr>' for each in Outcome
    )
    headings = "".join(f'<th scope="col">{column}</th>' for column in _COLUMNS)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
</head>
<body>
<header><div><h1>{title}</h1><p id="status" role="status">Waiting for the first word of the run.</p></div>
<p><a id="report" href="report.html" hidden>The report</a></p></header>
<main id="content">
<ul class="tiles">{tiles}</ul>
{charts}<h2>Tasks that have ended</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Tasks that have ended">
<table><thead><tr><th scope="col">Outcome</th><th scope="col">Tasks</th></tr></thead>
<tbody>{outcomes}</tbody></table></div>
<h2>Newest server updates</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Newest server updates">
<table><thead><tr>{headings}</tr></thead><tbody id="newest"></tbody></table></div>
</main>
<script src="plotly.js"></script>
<script src="live.js"></script>
</body>
</html>
"""


def script() -> str:
    """Return what fills the page."""
    return (files("flsim.observe.live") / "live.js").read_text("utf-8")


def style() -> str:
    """Return the style of the page: that of the report, and what the report has no need of."""
    own = "#status, header a { font-size: .95rem; }\nheader a { color: var(--accent); }\n"
    return (files("flsim.observe.report") / "page.css").read_text("utf-8") + own
