"""What a person sees at the end of a run."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flsim.results import Run
from flsim.units import SIZE, TIME


def print_result(run: Run, console: Console, quiet: bool) -> None:
    """Tell what happened and where the files are: a table on a terminal, plain lines elsewhere."""
    rows = _result_rows(run)
    if quiet:
        wanted = {
            "Ended": "",
            "Virtual time": "virtual time ",
            "Accuracy": "accuracy ",
            "Files": "files in ",
        }
        parts = [wanted[key] + value for key, value in rows if key in wanted]
        console.print(f"{run.summary['name']}: {'; '.join(parts)}", highlight=False, soft_wrap=True)
    elif console.is_terminal:
        table = Table(title=f"{run.summary['name']}", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column()
        for key, value in rows:
            table.add_row(key, escape(value))
        console.print(table)
    else:
        for key, value in rows:
            console.print(f"{key}: {value}", highlight=False, soft_wrap=True, markup=False)


def _result_rows(run: Run) -> list[tuple[str, str]]:
    summary = run.summary
    tasks = summary["tasks"]
    others = [f"{count} {outcome}" for outcome, count in tasks.items() if count and outcome != "dispatched"]
    rows = [
        ("Ended", summary["stop_detail"]),
        ("Virtual time", TIME.format(summary["virtual_time_s"])),
        ("Wall time", f"{summary['wall_time_s']:.1f} s"),
        ("Updates", str(summary["updates"])),
        ("Tasks", f"{tasks['dispatched']} dispatched: {', '.join(others)}"),
        ("Traffic", f"{SIZE.format(summary['bytes_down'])} down, {SIZE.format(summary['bytes_up'])} up"),
    ]
    if (edges := summary.get("edges")) is not None:
        down, up = SIZE.format(edges["bytes_down"]), SIZE.format(edges["bytes_up"])
        count = edges["tasks"]["dispatched"]
        rows.append(("Edges", f"{count} tasks, {edges['updates']} updates; backbone {down} down, {up} up"))
    if summary["final_accuracy"] is not None:
        final = f"{summary['final_accuracy']:.4f} at the end"
        best = f"{summary['best_accuracy']:.4f} at version {summary['best_version']}"
        rows.append(("Accuracy", f"{final}, best {best}"))
    elif summary["final_loss"] is not None:
        rows.append(("Loss", f"{summary['final_loss']:.4g} at the end"))
    if (central := summary.get("metrics", {}).get("central")) is not None:
        rows.append(("Metrics", _metrics(central)))
    if (attack := summary["attack"]) is not None:
        works = "" if attack["success"] is None else f", success {attack['success']:.4f}"
        counts = f"{attack['aggregated']} of {attack['attacked_tasks']} attacked tasks aggregated"
        rows.append(("Attack", f"{attack['kind']} by {attack['attackers']} clients: {counts}{works}"))
    for seen, attacks in summary.get("leakage", {}).items():
        rows.append((f"Leakage of {seen}s", _leaked(attacks)))
    rows += [
        ("Records", f"sha256 {summary['records_sha256'][:16]}…"),
        ("Files", str(run.folder)),
    ]
    return rows


def _metrics(central: Mapping[str, float | None]) -> str:
    """Return the metrics of a central test.

    >>> _metrics({"version": 3, "f1": 0.66667, "roc_auc": None})
    'f1 0.6667, roc_auc undefined'
    """
    shown = {name: "undefined" if value is None else f"{value:.4g}" for name, value in central.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if name != "version")


def _leaked(attacks: Mapping[str, Mapping[str, float]]) -> str:
    """Return the scores of attacks, and in brackets what they are where nothing leaks.

    >>> _leaked({"loss": {"score": 0.61, "baseline": 0.5, "standard_error": 0.021}})
    'loss 0.61 ± 0.02 (0.50)'
    """
    scores = []
    for attack, means in attacks.items():
        if attack == "inversion":
            scores.append(f"{attack} {means['score']:.0f} dB ({means['baseline']:.0f} dB)")
        else:
            error = f"± {means['standard_error']:.2f}"
            scores.append(f"{attack} {means['score']:.2f} {error} ({means['baseline']:.2f})")
    return ", ".join(scores)
