"""Tests run longest first and whole, and `make test` runs all of them."""

from __future__ import annotations

import re

import pytest

from tests.support.pages import ROOT
from tests.support.schedule import UNKNOWN, in_order, unit_of

LONG, SHORT, NEW = "tests/integration/test_long.py", "tests/attacks/test_short.py", "tests/integration/test_new.py"
LANES = "tests/faults/test_lanes.py"
SECONDS = {LONG: UNKNOWN + 80, SHORT: UNKNOWN - 80, LANES: 1.0}
MAKEFILE = (ROOT / "Makefile").read_text()


def ordered(*nodeids: str) -> list[str]:
    """Return tests in the order in which they run."""
    return [nodeids[place] for place in in_order(list(nodeids), SECONDS)]


def test_the_longest_file_runs_first() -> None:
    """What takes longest begins first, so that nobody waits for it in the end; its own tests keep their order."""
    assert ordered(f"{SHORT}::test_b", f"{LONG}::test_b", f"{LONG}::test_a") == [
        f"{LONG}::test_b",
        f"{LONG}::test_a",
        f"{SHORT}::test_b",
    ]


def test_a_file_that_was_never_recorded_is_taken_for_a_long_one() -> None:
    """A new file comes before the short ones: were it long, it would else be the last one to end."""
    assert ordered(f"{SHORT}::test", f"{NEW}::test", f"{LONG}::test") == [
        f"{LONG}::test",
        f"{NEW}::test",
        f"{SHORT}::test",
    ]


def test_the_lanes_of_faults_come_first() -> None:
    """However short they are: their operators end before the rest begins."""
    assert ordered(f"{LONG}::test", f"{LANES}::test") == [f"{LANES}::test", f"{LONG}::test"]


def test_what_shares_a_node_stays_in_one_process() -> None:
    """All tests on a real node are one unit, a file elsewhere is one, and no test is lost or run twice."""
    on_a_node = ("tests/e2e/test_session.py", "tests/e2e/test_demo.py", "tests/integration/test_cluster_nodes.py")
    assert len({unit_of(f"{file}::test") for file in on_a_node}) == 1
    assert unit_of(f"{LONG}::test_a[x::y]") == LONG
    nodeids = [f"{file}::test_{number}" for number in range(3) for file in (SHORT, LONG, NEW, LANES)]
    assert sorted(ordered(*nodeids)) == sorted(nodeids)


def recipe(target: str) -> str:
    """Return the recipe of a target of the Makefile, with its own variables put in."""
    found = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", MAKEFILE, re.MULTILINE)
    assert found, f"the Makefile has no target {target}"
    text = found.group(1)
    for _ in range(3):
        for name, value in re.findall(r"^(\w+) [:?]= ([^\n]*)$", MAKEFILE, re.MULTILINE):
            text = text.replace(f"$({name})", value)
    return text


def test_make_test_runs_every_file_of_tests() -> None:
    """Each file of tests is under a path that a stage of `make test` runs; what one leaves out, another runs."""
    stages = recipe("test")
    assert all(stage in stages for stage in ("lint", "types", "contracts", "unit-once", "side-by-side", "timed"))
    together = f"{recipe('unit-once').partition('--ignore')[0]} {recipe('side-by-side')}".split()
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        name = str(file.relative_to(ROOT))
        assert any(name == path or name.startswith(f"{path}/") for path in together), f"no stage runs {name}"
    for left_out in re.findall(r"^RANDOM_LIVES := ([^\n]*)$", MAKEFILE, re.MULTILINE)[0].split():
        assert left_out in recipe("side-by-side")


def test_what_is_timed_runs_alone() -> None:
    """Side by side nothing is timed, and alone everything that is."""
    assert '-m "not timed"' in recipe("side-by-side")
    timed = recipe("timed")
    assert "-m timed" in timed
    assert "--numprocesses" not in timed
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        if re.search(r"^(@|pytestmark = .*)pytest\.mark\.timed", file.read_text(), re.MULTILINE):
            folder = "/".join(file.relative_to(ROOT).parts[:2])
            assert folder in timed.split(), f"{file} is timed, and not run alone"


@pytest.mark.parametrize("name", ["tests/integration/guards/test_overhead.py", "tests/e2e/test_latency.py"])
def test_what_measures_is_marked(name: str) -> None:
    """The measurements of overhead and latency are known to be timed."""
    assert "pytest.mark.timed" in (ROOT / name).read_text()
