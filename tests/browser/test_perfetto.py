"""The trace of a run in Perfetto's own trace processor: the SQL of tests/integration/test_perfetto.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.integration.test_perfetto import (  # noqa: F401 - these are the tests
    edges_folder,
    folder,
    test_absences_are_those_of_the_records,
    test_an_arrow_leads_from_every_dispatch_by_the_upload_to_the_version,
    test_counters_have_the_last_word_of_the_records,
    test_in_a_hierarchy_arrows_lead_to_the_version_of_the_edge,
    test_outcomes_are_counted_as_in_the_records,
    test_the_duration_of_every_task_is_that_of_its_row,
    test_the_stages_of_every_task_are_there_and_nothing_else,
    test_updates_wait_from_their_arrival_to_their_version,
)
from tests.perfetto import Query, ours
from tests.trace_processor import TraceProcessor

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def query(chromium: Browser, folder: Path) -> Iterator[Query]:  # noqa: F811
    """The trace processor, with the run's trace in it."""
    processor = TraceProcessor(chromium, folder / "timeline.json.gz")
    yield processor
    processor.close()


@pytest.fixture(scope="module")
def edges_query(chromium: Browser, edges_folder: Path) -> Iterator[Query]:  # noqa: F811
    """The same, with edge servers."""
    processor = TraceProcessor(chromium, edges_folder / "timeline.json.gz")
    yield processor
    processor.close()


def test_nothing_in_the_trace_is_an_error(query: Query) -> None:
    assert (
        query("SELECT name, value FROM stats WHERE severity IN ('error', 'data_loss') AND value > 0") == []
    )


def test_our_reader_sees_what_perfetto_sees(folder: Path, query: Query) -> None:  # noqa: F811
    """What `make test` asks of its stand-in is asked of the trace processor's very answers."""
    seen = ours(folder / "timeline.json.gz")
    for sql in (
        "SELECT ts, dur, name, category FROM slice ORDER BY ts, dur, name, category",
        "SELECT a.name AS one, a.ts AS at, b.name AS other, b.ts AS later FROM flow f "
        "JOIN slice a ON f.slice_out = a.id JOIN slice b ON f.slice_in = b.id ORDER BY 2, 4, 1, 3",
    ):
        assert query(sql) == seen(sql)
