"""A scenario file to a scenario, or one message that says where, what and what is accepted."""

import time
from pathlib import Path
from typing import Any

import pytest

from flsim.errors import ScenarioError
from flsim.policy import FedBuff, Sync
from flsim.scenario import Scenario, read_scenario, scenario_from
from flsim.scenario.distributions import Constant, Lognormal
from flsim.scenario.network import FixedCapacity
from tests.unit.scenario_text import FULL, MINIMAL


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "full.yaml"
    path.write_text(FULL)
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(path, overrides)
    return str(caught.value)


def changed(file: Path, old: str, new: str) -> str:
    assert FULL.count(old) == 1
    file.write_text(FULL.replace(old, new))
    return refusal(file)


def test_a_scenario_is_read_whole(file: Path) -> None:
    scenario = read_scenario(file)
    assert scenario.strategy == FedBuff.model_validate(
        {
            "concurrency": 20,
            "buffer_size": 5,
            "staleness": {"kind": "polynomial", "a": 0.5},
            "max_staleness": 8,
        }
    )
    assert scenario.network.downlink == Lognormal(median=6e6, sigma=1.1)
    assert scenario.network.latency == Constant(value=0.05)
    assert scenario.network.server.downlink == scenario.network.server.uplink == FixedCapacity(rate=1e9)
    assert [device_class.name for device_class in scenario.fleet.classes] == ["phone", "sensor"]
    assert scenario.fleet.failure.lifetime == Constant(value=172800.0)
    assert scenario.stop.time == 21600.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "median: 6 Mbit/s, sigma",
            "median: 6 Mbit/s, sigmer",
            ":24: network.downlink.sigmer: unknown key; accepted here: kind, median, sigma"
            "; did you mean 'sigma'? (given: 1.1)",
        ),
        (
            "jitter: 0.1",
            "jiter: 0.1",
            ":16: fleet.classes.0.compute.jiter: unknown key; accepted here: kind, flops, jitter"
            "; did you mean 'jitter'? (given: 0.1)",
        ),
        (
            "  latency: 50 ms",
            "  latency: 50 Hz",
            ":26: network.latency: 'Hz' is not a unit of time; accepted: ms, us, ns, s, min, h, d"
            " (given: '50 Hz')",
        ),
        (
            "500 kbit/s",
            "-500 kbit/s",
            ":25: network.uplink: a bandwidth must be greater than zero, but this can be -500000",
        ),
        (
            "uplink: 1e9",
            "uplink: -1 Gbit/s",
            ":27: network.server.uplink: a bandwidth must be greater than zero (given: '-1 Gbit/s')",
        ),
        (
            "6 Mbit/s",
            "-6 Mbit/s",
            ":24: network.downlink.median: must be greater than 0 (given: '-6 Mbit/s')",
        ),
        (
            "sharing: fifo",
            "sharing: fiffo",
            ":28: network.sharing: must be 'fair', 'fifo' or 'none'; did you mean 'fifo'? (given: 'fiffo')",
        ),
        (
            "kind: dirichlet",
            "kind: dirichlett",
            ":7: workload.data.partition.kind: no such kind; accepted: iid, dirichlet, shard, "
            "label_groups, natural, label_skew, quantity_dirichlet, quantity_power_law, "
            "two_tier_dirichlet, label_group_dirichlet, file, flower, or package.module:Class; "
            "did you mean 'dirichlet'? (given: 'dirichlett')",
        ),
        (
            "batch_size: full",
            "batch_size: ful",
            ":10: workload.training.batch_size: must be a valid integer or must be 'full'"
            "; did you mean 'full'? (given: 'ful')",
        ),
        (
            "[64, 32]",
            "[64, 0]",
            ":9: workload.model.hidden.1: must be greater than or equal to 1 (given: 0)",
        ),
        ("[64, 32]", "[]", ":9: workload.model.hidden: must have at least 1 item (given: [])"),
        ("[64, 32]", "64", ":9: workload.model.hidden: must be a list (given: 64)"),
        ("clients: 100", "clients: many", ":12: fleet.clients: must be a valid integer (given: 'many')"),
        ("clients: 100", "clients: true", ":12: fleet.clients: must be a valid integer (given: True)"),
        (
            "clients: 100",
            "clients: 10",
            ":12: fleet.clients: the strategy needs 20 clients at a time, but the fleet has 10 (given: 10)",
        ),
        ("  clients: 100\n", "", ":11: fleet.clients: this key is required and missing"),
        ("share: 0.7", "share: 0.6", ":13: fleet.classes: the shares of the device classes must sum to 1"),
        ("name: sensor", "name: phone", ":11: fleet: two device classes have the same name"),
        (
            "  classes:\n",
            "  compute: {kind: duration, task: 1}\n  classes:\n",
            ":11: fleet: give either compute or classes",
        ),
        ("  buffer_size: 5\n", "", ":29: strategy: give either buffer_size or round_duration"),
        ("dropout: 0.05", "dropout: 1.5", ":21: fleet.failure.dropout: must be less than or equal to 1"),
        (
            "on: 1 h",
            "on: {kind: pareto, scale: 1 h, index: 0.9}",
            ":20: fleet.availability.on: its mean is infinite",
        ),
        ("seed: 42", "seed: -1", ":2: seed: must be greater than or equal to 0 (given: -1)"),
        ("seed: 42", "sed: 42", ":2: sed: unknown key; accepted here: name, seed, workload"),
        ("name: full_1", "name: full 1", ":1: name: must match ^[A-Za-z0-9]"),
        ("name: full_1", "name: 12", ":1: name: must be text (given: 12)"),
        (
            "plots: false",
            "plots: no",
            ":40: output.plots: must be true or false, or a mapping such as {formats",
        ),
        (
            "plots: false",
            "plots: {formats: [png, gif]}",
            ":40: output.plots.formats.1: must be 'png', 'svg' or 'pdf'",
        ),
        ("plots: false", "plots: {formats: []}", ":40: output.plots.formats: must have at least 1 item"),
        (
            "plots: false",
            "plots: {format: [svg]}",
            ":40: output.plots.format: unknown key; accepted here: formats; did you mean",
        ),
        ("{dir: outputs, plots: false}", "outputs", ":40: output: must be a mapping (given: 'outputs')"),
        (
            "{updates: 50, time: 6 h, accuracy: 0.97}",
            "{accuracy: 0.97}",
            ":38: stop: give updates or time, so that the run is sure to end",
        ),
        ("momentum: 0.9", "momentum: .nan", ":37: server_optimizer.momentum: must be a finite number"),
    ],
)
def test_an_error_says_where_what_and_what_is_accepted(
    file: Path, old: str, new: str, message: str
) -> None:
    assert changed(file, old, new).startswith(f"{file}{message}")


def test_every_problem_is_reported_each_on_a_line_of_its_own(file: Path) -> None:
    file.write_text(FULL.replace("seed: 42", "seed: x").replace("every: 5", "every: 0"))
    lines = refusal(file).splitlines()
    assert [line.removeprefix(f"{file}").split(" (")[0] for line in lines] == [
        ":2: seed: must be a valid integer",
        ":39: evaluation.every: must be greater than or equal to 1",
    ]


def test_more_cohort_than_clients_and_more_quorum_than_cohort(tmp_path: Path) -> None:
    path = tmp_path / "minimal.yaml"
    path.write_text(MINIMAL)
    assert f"{path}:4: fleet.clients: the strategy needs 26 clients" in refusal(
        path, "strategy={kind: sync, cohort: 20, over_selection: 1.3}"
    )
    assert "strategy.quorum: more than the cohort of 10 (given: 11)" in refusal(path, "strategy.quorum=11")


def test_a_long_value_is_cut_short(file: Path) -> None:
    assert len(changed(file, "seed: 42", f"seed: {'x' * 5000}")) < len(str(file)) + 120
    assert len(changed(file, "seed: 42", f"{'x' * 5000}: 42")) < len(str(file)) + 300


# What is not a scenario file at all.


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: a folder, not a scenario file"


def test_a_missing_file_names_its_neighbour(file: Path) -> None:
    missing = file.with_name("ful.yaml")
    assert refusal(missing) == f"{missing}: no such file; did you mean '{file}'?"
    assert refusal(file.with_name("zzz.yaml")) == f"{file.with_name('zzz.yaml')}: no such file"
    assert refusal(file.parent / "nowhere" / "x.yaml").endswith("no such file")


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"  # a link to itself, which not even root can read
    loop.symlink_to(loop)
    assert refusal(loop) == f"{loop}: cannot be read: Too many levels of symbolic links"


def test_any_other_failure_to_read_says_what_the_system_said(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", fail)
    assert refusal(file) == f"{file}: cannot be read: Permission denied"


def test_a_file_that_goes_through_a_file_is_refused(file: Path) -> None:
    assert "cannot be read" in refusal(file / "x.yaml")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "\udcff"])
def test_a_path_that_no_system_accepts_is_refused(path: str) -> None:
    assert refusal(Path(path))


def test_an_endless_file_is_refused() -> None:
    assert refusal(Path("/dev/zero")) == "/dev/zero: larger than 1 MiB; not a scenario file"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "a scenario is a mapping"),
        (b"- a\n- b\n", "a scenario is a mapping"),
        (b"just words", "a scenario is a mapping"),
        (b"\x89PNG\r\n\x1a\n\xff\xff", "not a text file (byte 0 is not UTF-8)"),
        (FULL.encode("utf-16"), "not a text file"),
        (b"\0" * 100, "not valid YAML"),
        (b"x" * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(file: Path, content: bytes, why: str) -> None:
    file.write_bytes(content)
    assert why in refusal(file)


def test_a_byte_order_mark_is_harmless(file: Path) -> None:
    scenario = read_scenario(file)
    file.write_bytes(b"\xef\xbb\xbf" + FULL.encode())
    assert read_scenario(file) == scenario


@pytest.mark.parametrize("text", ["k{}: 1\n", "- 1\n"])
def test_the_largest_file_is_refused_soon(file: Path, text: str) -> None:
    file.write_text("".join(text.format(number) for number in range(100_000))[: 1 << 20])
    started = time.perf_counter()
    refusal(file)
    assert time.perf_counter() - started < 5.0


# Overrides.


def field(scenario: Scenario, path: str) -> Any:
    value: Any = scenario
    for key in path.split("."):
        value = value[int(key)] if key.isdigit() else getattr(value, key)
    return value


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("strategy.concurrency=30", "strategy.concurrency", 30),
        ("name=a-b", "name", "a-b"),
        ("fleet.classes.1.name=tag", "fleet.classes.1.name", "tag"),
        ("workload.model.hidden.0=7", "workload.model.hidden", (7, 32)),
        ("workload.model.hidden=[1, 2, 3]", "workload.model.hidden", (1, 2, 3)),
        ("network.latency=3 ms", "network.latency", Constant(value=0.003)),
        ("network.server.uplink=", "network.server.uplink", None),
        ("stop.time=null", "stop.time", None),
        ("evaluation.every=3", "evaluation.every", 3),
        ("output.dir='a=b'", "output.dir", "a=b"),
        ("output.dir=a=b", "output.dir", "a=b"),
        ("output={}", "output.plots", True),
        ("strategy={kind: sync, cohort: 7}", "strategy", Sync(cohort=7)),
        (
            "network.uplink={kind: lognormal, median: 1 MB/s, sigma: 1}",
            "network.uplink",
            Lognormal(median=8e6, sigma=1),
        ),
    ],
)
def test_an_override_replaces_a_value(file: Path, override: str, path: str, value: object) -> None:
    assert field(read_scenario(file, [override]), path) == value


def test_an_override_may_create_a_section_and_later_ones_win(tmp_path: Path) -> None:
    path = tmp_path / "minimal.yaml"
    path.write_text(MINIMAL)
    overrides = ["network.server.uplink=1 kbit/s", "network.server.uplink=2 kbit/s", "evaluation.every=2"]
    scenario = read_scenario(path, overrides)
    assert (scenario.network.server.uplink, scenario.evaluation.every) == (FixedCapacity(rate=2000), 2)


def test_an_override_of_the_kind_says_which_keys_are_left_over(file: Path) -> None:
    message = refusal(file, "strategy.kind=sync")
    assert message.startswith(f"{file}:31: strategy.concurrency: unknown key; accepted here: kind, cohort")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strategy.concurrency", "--set strategy.concurrency: expected a key path and a value, such as"),
        ("=3", "--set =3: expected a key path and a value"),
        ("a..b=3", "--set a..b=3: expected a key path and a value"),
        ("name.x=1", "--set name.x=1: 'name' has no key 'x'"),
        ("fleet.classes.2.name=x", "--set fleet.classes.2.name=x: 'fleet.classes' has no key '2'"),
        ("fleet.classes.-1.name=x", "--set fleet.classes.-1.name=x: 'fleet.classes' has no key '-1'"),
        ("fleet.classes.²=x", "--set fleet.classes.²=x: 'fleet.classes' has no key '²'"),
        ("name=[1", "--set name=[1:2: not valid YAML"),
        ("name=*x", "--set name=*x:1: anchors and aliases are not accepted"),
        ("name=\udcff", "--set name=\udcff: not valid YAML: character 0 is not Unicode"),
        ("seed=x", "{file} (changed by --set): seed: must be a valid integer (given: 'x')"),
        ("²=3", "{file} (changed by --set): ²: unknown key"),
        ("network.latency=-1 s", "{file} (changed by --set): network.latency: a time must be zero or more"),
        (
            "strategy={kind: fedbuf}",
            "{file} (changed by --set): strategy.kind: no such kind; accepted: sync, fedasync, "
            "fedbuff, port, fedat, flower, server_app, or package.module:Class; did you mean 'fedbuff'? "
            "(given: 'fedbuf')",
        ),
        ("strategy.bufer_size=3", "{file} (changed by --set): strategy.bufer_size: unknown key"),
        ("fleet.classes.1.share=0.4", "{file}:13: fleet.classes: the shares of the device classes must"),
        ("fleet.clients=5", "{file} (changed by --set): fleet.clients: the strategy needs 20 clients"),
        ("strategy.concurrency=500", "{file}:12: fleet.clients: the strategy needs 500 clients"),
    ],
)
def test_an_override_that_cannot_be_is_refused(file: Path, override: str, message: str) -> None:
    assert refusal(file, override).startswith(message.replace("{file}", str(file)))


def test_an_endless_override_is_refused_briefly(file: Path) -> None:
    assert len(refusal(file, f"fleet.classes.{'9' * 5000}=3")) < 300


# Plain data.


def test_plain_data_makes_a_scenario_and_is_left_as_it_was() -> None:
    data = {
        "name": "plain",
        "workload": {"kind": "synthetic"},
        "fleet": {"clients": 3, "compute": {"kind": "duration", "task": 1}},
        "strategy": {"kind": "sync", "cohort": 3},
        "stop": {"updates": 1},
    }
    before = repr(data)
    assert scenario_from(data).strategy == Sync(cohort=3)
    assert repr(data) == before
    with pytest.raises(ScenarioError, match=r"^scenario: fleet.clients: the strategy needs 4 clients"):
        scenario_from(data | {"strategy": {"kind": "sync", "cohort": 4}})
