"""The main use case: a scenario in, a folder of results out."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from flsim.calibrate import calibrate
from flsim.durable.before import UNTRODDEN, Before, begun, recorded
from flsim.durable.recorded import Resumable
from flsim.errors import ScenarioError
from flsim.govern.record import govern
from flsim.govern.signature import check_key
from flsim.holdings import Holdings
from flsim.messages import Program
from flsim.observe.adapters import adapters_summary, write_factorisation
from flsim.observe.attacked import attack_summary, write_attacked
from flsim.observe.blocks import BUSY_ROWS, JOURNAL, Blocks
from flsim.observe.client_accuracy import last_distribution, write_client_accuracy
from flsim.observe.client_reports import summary_of_reports
from flsim.observe.clients import drawn_clients, write_clients
from flsim.observe.drawing import Drawing
from flsim.observe.edge_journal import HierarchyParquetJournal
from flsim.observe.edges import client_updates_by, edge_totals
from flsim.observe.ending import write_ending
from flsim.observe.files import write_json
from flsim.observe.folder import open_folder
from flsim.observe.heard import heard
from flsim.observe.journal import ParquetJournal
from flsim.observe.leakage import leakage_summary, write_leakage
from flsim.observe.live.progress_file import ProgressFile
from flsim.observe.measured import summary_of_measured, write_measured
from flsim.observe.metrics import write_metrics
from flsim.observe.sessions import sessions_summary
from flsim.observe.summary import Facts, Sections, summarise
from flsim.observe.tables import Tables, read_tables, version_records
from flsim.observe.trackers import Tracking, told_of
from flsim.plug_ins import naming_plug_ins
from flsim.protocols import Learner
from flsim.records import EndingRecord, VersionRecord
from flsim.results import Run
from flsim.scenario import Scenario
from flsim.scenario.hierarchy import edges_of
from flsim.scenario.reading import to_yaml
from flsim.sim.surroundings import Moment, Watch
from flsim.sim.world import Simulated, World, build_world, unwatched
from flsim.tasks import TaskCosts, TrainingReport
from flsim.workload import prepare_workload

_BLOCK_FLOP = 50e6


class Plan(NamedTuple):
    """A run that is about to begin: of what, with training or without, who watches, and since when, by the
    clock.

    `given_sha256`: the hash of the scenario as it was given, before anything was calibrated.
    """

    scenario: Scenario
    given_sha256: str
    timing_only: bool
    watch: Watch
    begun_s: float


def run(scenario: Scenario, *, timing_only: bool = False, watch: Watch = unwatched) -> Run:
    """Run a scenario and write its results into `<output.dir>/<name>/`.

    With `timing_only`, a torch workload keeps its costs and its timeline, but nothing trains.
    `watch` is shown the run as it goes, and ends it by returning False.
    Raises ScenarioError before anything is written, and RunError after.
    """
    begun_s, given_sha256 = time.perf_counter(), scenario.sha256
    with naming_plug_ins(scenario):
        plan = Plan(calibrate(scenario), given_sha256, timing_only, watch, begun_s)

    def folder_of(scenario: Scenario) -> Path:
        return open_folder(Path(scenario.output.dir).expanduser(), scenario.name, to_yaml(scenario))

    return carry_out(plan, folder_of, UNTRODDEN)


def carry_out(plan: Plan, folder_of: Callable[[Scenario], Path], before: Before) -> Run:
    """Run what is planned, in the folder that is opened once everything is ready, and write its results.

    `before`: what the run has done already, if it was killed; it is gone over again without training.
    """
    scenario = plan.scenario
    with (
        naming_plug_ins(scenario),
        Tracking(scenario.tracking) as tracking,
        Drawing(scenario.output.picture_formats) as drawing,
    ):
        return _carry_out(plan, folder_of, before, tracking, drawing)


def _carry_out(
    plan: Plan,
    folder_of: Callable[[Scenario], Path],
    before: Before,
    tracking: Tracking,
    drawing: Drawing,
) -> Run:
    scenario, timing_only = plan.scenario, plan.timing_only
    if scenario.governance is not None and scenario.governance.sign is not None:
        check_key(Path(scenario.governance.sign))
    costs, learner, holdings = prepare_workload(scenario, timing_only=timing_only)
    if timing_only and costs.upload_varies:
        why = "compression.uplink: how large an update is follows from its training; not with --timing-only"
        raise ScenarioError(why)
    world = build_world(scenario, costs)
    folder = folder_of(scenario)
    try:
        with (
            Blocks(folder / JOURNAL, _block_rows(costs, learner), before.frames) as blocks,
            _journal(scenario, folder, blocks) as journal,
            ProgressFile(folder) as progress,
        ):
            journal.note("run", begun(to_yaml(scenario), plan.given_sha256, timing_only=timing_only))
            blocks.rows("clients", drawn_clients(world.devices, costs.samples, _edges(scenario)))
            tracking.start(told_of(folder))
            told, watch = learner, _watched(plan.watch, progress, drawing)
            if isinstance(learner, Resumable):
                told = recorded(scenario, folder, learner, journal, blocks, before)
            if before.frames:
                watch = _watching_from(blocks, watch)
            listened = heard(journal, progress.task, progress.version, tracking.version)
            simulated = world.run(told, listened, watch)
            if simulated.ending.reason != "interrupted":
                learner.finish()
            if isinstance(learner, Resumable):
                learner.write_models(folder)
            ending = simulated.ending
            journal.note("ending", [ending.reason, ending.detail, simulated.virtual_time_s])
    except BaseException as error:
        try:
            _write_rest(scenario, folder, world, costs, learner.close())
        except Exception as another:  # a disk that is full, a table that broke off: said already
            error.add_note(f"After that: {another}")
        raise
    training = learner.close()
    if isinstance(learner, Program):
        write_json(folder / "flower.json", learner.told())
    _write_rest(scenario, folder, world, costs, training)
    results = plan, folder, journal, simulated, training, costs, holdings
    summary = _write_results(*results, tracking, drawing)
    progress.remove()
    govern(scenario, folder, costs, holdings, summary, timing_only=timing_only)
    return Run(folder, summary)


def _write_rest(
    scenario: Scenario, folder: Path, world: World, costs: TaskCosts, training: TrainingReport | None
) -> None:
    """Write the tables that are made when the journal is closed, of a run that broke off, too."""
    write_clients(folder, world.devices, costs.samples, _edges(scenario))
    if training is None:
        return
    if training.clients is not None:
        write_client_accuracy(folder, training.clients)
    write_measured(folder, training)
    if training.leakage is not None:
        write_leakage(folder, training.leakage)
    if training.lost:
        write_factorisation(folder, training.lost)
    if scenario.attack is not None:
        write_attacked(folder, scenario.attack.campaign(scenario.fleet.clients, scenario.seed))


def _watched(watch: Watch, progress: ProgressFile, drawing: Drawing) -> Watch:
    """Return what shows the run to `watch`, and tells the file of its progress where it is."""

    def shown(moment: Moment) -> bool:
        drawing.prepare()
        progress.moment(moment.now_s, moment.in_flight)
        return watch(moment)

    return shown


def _block_rows(costs: TaskCosts, learner: Learner) -> int:
    """Return how many rows make a block of the journal at a server update.

    A block takes about as long as it takes to train on a MFLOP, so there is one for fifty.
    """
    mean = fmean(costs.work_flop)
    if not isinstance(learner, Resumable):
        return BUSY_ROWS
    return min(BUSY_ROWS, max(1, round(_BLOCK_FLOP / mean))) if mean else BUSY_ROWS


def _journal(scenario: Scenario, folder: Path, blocks: Blocks) -> ParquetJournal:
    kind = ParquetJournal if scenario.hierarchy is None else HierarchyParquetJournal
    return kind(folder, blocks=blocks)


def _watching_from(blocks: Blocks, watch: Watch) -> Watch:
    """Return who watches a run from where it goes on: nobody interrupts what has happened."""
    return lambda moment: blocks.retraces or watch(moment)


def _edges(scenario: Scenario) -> list[int] | None:
    """Return everybody's edge; None without a hierarchy."""
    if scenario.hierarchy is None:
        return None
    return [edge.number for edge in edges_of(scenario) for _ in edge.clients]


def _write_results(
    plan: Plan,
    folder: Path,
    journal: ParquetJournal,
    simulated: Simulated,
    training: TrainingReport | None,
    costs: TaskCosts,
    holdings: Holdings | None,
    tracking: Tracking,
    drawing: Drawing,
) -> dict[str, Any]:
    """Write everything that is read from the records. The pictures are left out of an interrupted run."""
    scenario, ending = plan.scenario, simulated.ending
    write_ending(folder, EndingRecord(ending.reason, ending.detail, simulated.virtual_time_s))
    tables = read_tables(folder)
    versions = list(version_records(tables.versions))
    write_metrics(folder, tables, costs)
    if simulated.ending.reason != "interrupted":
        _draw(scenario, folder, drawing)
    tracking.finish(tables)
    facts = Facts(
        name=scenario.name,
        seed=scenario.seed,
        stop_reason=simulated.ending.reason,
        stop_detail=simulated.ending.detail,
        wall_time_s=time.perf_counter() - plan.begun_s,
        virtual_time_s=simulated.virtual_time_s,
        totals=journal.totals(),
        records_sha256=journal.records_sha256(),
        scenario_sha256=plan.given_sha256,
    )
    sections = Sections(
        client_accuracy=_client_accuracy(scenario, tables),
        privacy=_privacy(scenario, simulated),
        attack=_attack(scenario, tables, versions),
        leakage=leakage_summary(tables),
        metadata=summary_of_reports(tables),
        data=None if holdings is None else holdings.statistics(),
        edges=edge_totals(tables),
        metrics=summary_of_measured(tables),
        secure_aggregation=_secure_aggregation(scenario, tables, training, costs),
        adapters=adapters_summary(costs, training),
        tracking=tracking.outcomes,
    )
    summary = summarise(
        facts,
        versions,
        training,
        sections,
        target=scenario.stop.accuracy,
        client_updates_by=None if (edges := tables.edges) is None else partial(client_updates_by, edges),
    )
    write_json(folder / "summary.json", summary)
    return summary


def _client_accuracy(scenario: Scenario, tables: Tables) -> Mapping[str, object] | None:
    tests, last = scenario.evaluation.clients, last_distribution(tables)
    return None if tests is None or last is None else {**last, "on": tests.on}


def _privacy(scenario: Scenario, simulated: Simulated) -> Mapping[str, object] | None:
    if (privacy := scenario.privacy) is None:
        return None
    return privacy.told(scenario) | {"epsilon": simulated.epsilon}


def _secure_aggregation(
    scenario: Scenario, tables: Tables, training: TrainingReport | None, costs: TaskCosts
) -> Mapping[str, object] | None:
    if (secure := scenario.secure_aggregation) is None:
        return None
    bits, trains = secure.bits(scenario), training is not None
    summary = sessions_summary(secure.kind, secure.mode, bits, tables.secure_sessions, trains=trains)
    return summary | secure.told(scenario, costs.share_length)


def _attack(
    scenario: Scenario, tables: Tables, versions: Sequence[VersionRecord]
) -> Mapping[str, object] | None:
    if scenario.attack is None:
        return None
    campaign = scenario.attack.campaign(scenario.fleet.clients, scenario.seed)
    return attack_summary(scenario.attack.kind, campaign, tables, versions)


def _draw(scenario: Scenario, folder: Path, drawing: Drawing) -> None:
    drawing.begin(folder)
    tables = read_tables(folder)
    if scenario.output.timeline:
        from flsim.observe.timeline import Deadlines, write_timeline

        deadlines = Deadlines.of(scenario.model_dump(include={"strategy", "hierarchy"}))
        write_timeline(folder / "timeline.json.gz", tables, scenario.name, deadlines=deadlines)
    drawing.draw(folder, tables)
    if scenario.output.report:
        from flsim.observe.report import write_report

        write_report(folder)
