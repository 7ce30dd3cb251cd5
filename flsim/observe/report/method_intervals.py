"""What methods take, and how they compare to the first one, seed by seed: points, means and intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flsim.observe.comparison import (
    Comparison,
    Estimate,
    MethodRow,
    Seeds,
    Spent,
    final_accuracies,
    spent_by_seed,
)
from flsim.observe.report.method_curves import spent
from flsim.observe.report.method_labels import chart_labels, look, some
from flsim.observe.report.parts import Figure, Plot, Table, Trace, byte_unit, numbers, plot, time_axis

_RATIO, _GAIN = "time over that of the first", "final accuracy less that of the first"
_CONFIDENCE = "Diamonds are means, lines their 95 % confidence intervals (Student's t), dots single seeds."


@dataclass(frozen=True)
class Values:
    """One method's values by seed, and what they come to: None where there is no estimate."""

    seeds: Mapping[int, float]
    estimate: Estimate | None


def to_target(methods: Mapping[str, Seeds], comparison: Comparison) -> Figure:
    """Return what the target took: virtual time, traffic and updates."""
    took = [spent_by_seed(own, comparison.target) for own in methods.values()]
    rows = comparison.rows
    found = {
        "Virtual time": _values(took, "time_s", [row.time_s for row in rows]),
        "Bytes": _values(took, "traffic", [row.traffic for row in rows]),
        "Updates": _values(took, "updates", [row.updates for row in rows]),
    }
    names = list(methods)
    title = (
        "What the whole runs took"
        if comparison.target is None
        else f"What an accuracy of {comparison.target:.4g} took"
    )
    missed = [f"{row.method} ({row.reached} of {row.runs})" for row in rows if row.reached < row.runs]
    says = f"{_CONFIDENCE} Intervals are cut off at zero."
    if missed:
        says += f" Not every run got there, so there is no mean: {some(missed)}."
    views = [(across, _spent_view(across, each, names)) for across, each in found.items()]
    return Figure("to-target", title, says, views, _spent_table(title, names, found), _height(names))


def against_first(methods: Mapping[str, Seeds], comparison: Comparison) -> Figure | None:
    """Return the other methods' ratios of time to the first one's, and gains in accuracy, if any."""
    (first, theirs), *others = methods.items()
    rows = comparison.rows[1:]
    names = [name for name, _ in others]
    base, final = spent_by_seed(theirs, comparison.target), final_accuracies(theirs)
    ratios, gains = [], []
    for (_, own), row in zip(others, rows, strict=True):
        took, ended = spent_by_seed(own, comparison.target), final_accuracies(own)
        shared = sorted(took.keys() & base.keys()) if row.time_ratio is not None else []
        ratios.append(
            Values({seed: took[seed].time_s / base[seed].time_s for seed in shared}, row.time_ratio)
        )
        pairs = {seed: ended[seed] - final[seed] for seed in sorted(ended.keys() & final.keys())}
        gains.append(Values(pairs, row.accuracy_gain))
    views = []
    if any(each.estimate for each in ratios):
        from_zero = {"rangemode": "tozero"}
        views.append(("Time", _view(ratios, names, _RATIO, 1.0, 1, xaxis=from_zero)))
    if any(each.estimate for each in gains):
        views.append(("Final accuracy", _view(gains, names, _GAIN, 0.0, 1)))
    if not views:
        return None
    says = (
        f"Runs of one seed share their draws, so each seed is compared with the same seed of {first}: "
        f"{_told(rows)}. Ratios are geometric means. An interval that holds "
        "the dashed line leaves open which is better."
    )
    title, table = f"Against {first}, seed by seed", _pair_table(rows, first)
    return Figure("against-first", title, says, views, table, _height(names))


def _told(rows: Sequence[MethodRow]) -> str:
    parts = [
        f"{row.method} takes {row.time_ratio.mean:.2f} times as long"
        for row in rows
        if row.time_ratio is not None
    ] or [
        f"{row.method} ends {row.accuracy_gain.mean:+.4f} off"
        for row in rows
        if row.accuracy_gain is not None
    ]
    return some(parts)


def _values(
    took: Sequence[Mapping[int, Spent]], name: str, estimates: Sequence[Estimate | None]
) -> list[Values]:
    return [
        Values({seed: float(getattr(each, name)) for seed, each in own.items()}, estimate)
        for own, estimate in zip(took, estimates, strict=True)
    ]


def _spent_view(across: str, found: Sequence[Values], names: Sequence[str]) -> Plot:
    most = max([0.0, *(amount for each in found for amount in each.seeds.values())])
    if across == "Virtual time":
        title, unit = time_axis(most)
    elif across == "Bytes":
        name, unit = byte_unit(most)
        title = f"traffic up and down ({name})"
    else:
        title, unit = "server updates", 1.0
    scaled = [
        Values({seed: amount / unit for seed, amount in each.seeds.items()}, _scaled(each.estimate, unit))
        for each in found
    ]
    return _view(scaled, names, title, xaxis={"rangemode": "tozero"})


def _scaled(estimate: Estimate | None, unit: float) -> Estimate | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None if estimate is None else Estimate(estimate.mean / unit, None, None, estimate.runs)
    return Estimate(
        estimate.mean / unit, max(0.0, estimate.low) / unit, estimate.high / unit, estimate.runs
    )


def _view(
    found: Sequence[Values],
    names: Sequence[str],
    title: str,
    mark: float | None = None,
    first: int = 0,
    **layout: object,
) -> Plot:
    """Return a row for each method, the first one on top.

    `mark`: where nothing differs. `first`: the place of the first of them among all, for its colour.
    """
    labels = chart_labels(names)
    traces = [
        trace
        for place, each in enumerate(found)
        for trace in _row(each, place, labels[place], look(first + place)[0])
    ]
    rows = {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": labels,
        "range": [len(names) - 0.5, -0.5],
        "zeroline": False,
    }
    if mark is not None:
        line = {"color": "--soft", "dash": "dash", "width": 1}
        ends = {"x0": mark, "x1": mark, "y0": 0, "y1": 1, "yref": "paper"}
        layout["shapes"] = [{"type": "line", "layer": "below", "line": line, **ends}]
    return plot(traces, title, "method", yaxis=rows, **layout | {"showlegend": False})


def _row(found: Values, place: int, label: str, colour: str) -> list[Trace]:
    seeds, values = list(found.seeds), list(found.seeds.values())
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": numbers(values),
            "y": [place + 0.22] * len(values),
            "customdata": seeds,
            "marker": {"color": colour, "size": 6, "opacity": 0.6},
            "name": label,
            "hovertemplate": "%{fullData.name}<br>seed %{customdata}: %{x:.4g}<extra></extra>",
        }
    ]
    if (estimate := found.estimate) is not None:
        ends: Trace = {}
        if estimate.low is not None and estimate.high is not None:
            ends = {
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers([estimate.high - estimate.mean]),
                    "arrayminus": numbers([estimate.mean - estimate.low]),
                    "color": colour,
                }
            }
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": numbers([estimate.mean]),
                "y": [place],
                "marker": {"color": colour, "size": 10, "symbol": "diamond"},
                "name": label,
                "hovertemplate": "%{fullData.name}<br>mean %{x:.4g}<extra></extra>",
                **ends,
            }
        )
    return traces


def _height(names: Sequence[str]) -> int:
    return 110 + 56 * len(names)


def _ends(estimate: Estimate | None, across: str) -> tuple[str, str, str]:
    if estimate is None:
        return ("–", "–", "–")
    low, high = ("–" if end is None else spent(across, end) for end in (estimate.low, estimate.high))
    return spent(across, estimate.mean), low, high


def _spent_table(title: str, names: Sequence[str], found: Mapping[str, Sequence[Values]]) -> Table:
    headings = ("Method", "of", "mean", "95 % from", "to")
    rows = [
        (name, across.lower(), *_ends(found[across][place].estimate, across))
        for place, name in enumerate(names)
        for across in found
    ]
    return Table(title, headings, rows, words=frozenset({1}))


def _pair_table(rows: Sequence[MethodRow], first: str) -> Table:
    def shown(estimate: Estimate | None, form: str) -> tuple[str, str, str]:
        if estimate is None:
            return ("–", "–", "–")
        low, high = ("–" if end is None else format(end, form) for end in (estimate.low, estimate.high))
        return (format(estimate.mean, form), low, high)

    headings = ("Method", "Time ratio", "95 % from", "to", "Accuracy gain", "95 % from", "to")
    return Table(
        f"Against {first}",
        headings,
        [(row.method, *shown(row.time_ratio, ".3f"), *shown(row.accuracy_gain, "+.4f")) for row in rows],
    )
