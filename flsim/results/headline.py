"""A run in one line, and in a small table for notebooks."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from flsim.units import SIZE, TIME


def one_line(summary: Mapping[str, Any]) -> str:
    """Return what a run came to.

    >>> told = {"name": "one", "updates": 3, "virtual_time_s": 90.0, "stop_reason": "updates"}
    >>> one_line({**told, "final_accuracy": 0.91234, "final_loss": 0.3})
    'one: 3 updates in 1.5 min of virtual time, accuracy 0.9123'
    """
    updates = summary["updates"]
    made = f"{updates:,} update{'' if updates == 1 else 's'}"
    parts = [f"{made} in {TIME.format(summary['virtual_time_s'])} of virtual time"]
    if summary["final_accuracy"] is not None:
        parts.append(f"accuracy {summary['final_accuracy']:.4f}")
    elif summary["final_loss"] is not None:
        parts.append(f"loss {summary['final_loss']:.4g}")
    if summary["stop_reason"] == "interrupted":
        parts.append("interrupted")
    return f"{summary['name']}: {', '.join(parts)}"


def headline(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of the small table: what, and how much."""
    tasks = summary["tasks"]
    rows = [
        ("Ended", str(summary["stop_detail"])),
        ("Virtual time", TIME.format(summary["virtual_time_s"])),
        ("Server updates", f"{summary['updates']:,}"),
        ("Tasks", f"{tasks['dispatched']:,}, of which {tasks['aggregated']:,} aggregated"),
        ("Traffic", f"{SIZE.format(summary['bytes_down'])} down, {SIZE.format(summary['bytes_up'])} up"),
    ]
    if summary["final_accuracy"] is not None:
        best = f"{summary['best_accuracy']:.4f} at version {summary['best_version']:,}"
        rows.append(("Accuracy", f"{summary['final_accuracy']:.4f} at the end, best {best}"))
    elif summary["final_loss"] is not None:
        rows.append(("Loss", f"{summary['final_loss']:.4g} at the end"))
    return rows


def table_html(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Return a table of two columns as HTML.

    >>> table_html("a < b", [("Ended", "yes")])
    '<table><caption>a &lt; b</caption><tr><th scope="row">Ended</th><td>yes</td></tr></table>'
    """
    body = "".join(
        f'<tr><th scope="row">{html.escape(key)}</th><td>{html.escape(value)}</td></tr>'
        for key, value in rows
    )
    return f"<table><caption>{html.escape(title)}</caption>{body}</table>"
