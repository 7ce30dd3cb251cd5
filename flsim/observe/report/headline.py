"""The headline numbers of a run."""

import numpy as np

from flsim.observe.metrics import traffic_by
from flsim.observe.report.parts import Tile, Tiles, real, share
from flsim.observe.report.run_facts import Recorded
from flsim.observe.states import BUSY, STATES, seconds_by_client
from flsim.observe.tables import Tables, outcomes, version_records
from flsim.records import Outcome, VersionRecord
from flsim.units import SIZE, TIME

_KILLED = "unknown: the run was killed"


def headline(run: Recorded) -> Tiles:
    """Return the tiles: what the run came to. A number that there is not has no tile."""
    tables = run.tables
    versions = list(version_records(tables.versions))
    tiles = [
        Tile("Virtual time", TIME.format(run.end_s), run.ending.stop_detail if run.ending else _KILLED),
        _updates(tables),
        *_tested(versions),
        _tasks(tables),
        _traffic(tables),
        _fleet(run),
        *_rest(run),
    ]
    return Tiles(tiles)


def _updates(tables: Tables) -> Tile:
    times = tables.versions["time_s"].to_numpy()
    made = int((tables.versions["version"].to_numpy() > 0).sum())
    detail = f"median {TIME.format(float(np.median(np.diff(times))))} apart" if len(times) > 1 else ""
    return Tile("Server updates", f"{made:,}", detail)


def _tested(versions: list[VersionRecord]) -> list[Tile]:
    """Return the tiles of the central tests, the best accuracy being the earliest of equals."""
    tiles = []
    accuracies = [(row.accuracy, row.version) for row in versions if row.accuracy is not None]
    finite = [(value, version) for value, version in accuracies if np.isfinite(value)]
    if finite:
        best, at = max(finite, key=lambda pair: pair[0])
        tiles.append(
            Tile("Accuracy at the end", real(accuracies[-1][0]), f"best {real(best)} at version {at:,}")
        )
    losses = [row.loss for row in versions if row.loss is not None]
    if any(np.isfinite(losses)):
        lowest = min(value for value in losses if np.isfinite(value))
        tiles.append(Tile("Loss at the end", real(losses[-1]), f"lowest {real(lowest)}"))
    return tiles


def _tasks(tables: Tables) -> Tile:
    words = outcomes(tables.tasks)
    used = int((words == Outcome.AGGREGATED.value).sum())
    return Tile("Tasks", f"{len(words):,}", f"{share(used, len(words))} aggregated")


def _traffic(tables: Tables) -> Tile:
    [up], [down] = traffic_by(tables, np.array([np.inf]))
    return Tile("Traffic", SIZE.format(float(up + down)), f"{SIZE.format(down)} down, {SIZE.format(up)} up")


def _fleet(run: Recorded) -> Tile:
    asked = len(np.unique(run.tables.tasks["client"].to_numpy()))
    return Tile("Clients", f"{run.clients:,}", f"{asked:,} had tasks")


def _rest(run: Recorded) -> list[Tile]:
    tables, tiles = run.tables, []
    seconds = seconds_by_client(tables).sum(axis=0)
    busy = sum(seconds[STATES.index(state)] for state in BUSY)
    if seconds.sum() > 0:
        tiles.append(Tile("Utilisation", share(busy, seconds.sum()), "of the clients' time has a task"))
    if len(stale := tables.aggregated["staleness"].drop_null().to_numpy()):
        tiles.append(Tile("Mean staleness", real(float(stale.mean()), 3), "versions, when used"))
    if len(joules := tables.tasks["energy_j"].drop_null().to_numpy()):
        tiles.append(Tile("Energy", f"{real(float(joules.sum()))} J", "drawn by the devices"))
    if len(spent := tables.versions["epsilon"].drop_null().to_numpy()):
        tiles.append(Tile("Privacy spent", f"ε = {real(float(spent[-1]))}"))
    return tiles
