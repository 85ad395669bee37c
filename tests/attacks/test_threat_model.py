"""The threat model and the table of attacks say the same: every attack is in the document, and the other way round."""

from __future__ import annotations

import re

import pytest

from tests.attacks.attack import Attack, Attacker, Threat
from tests.attacks.table import ATTACKS, VERDICTS
from tests.support.pages import ROOT, rows

PAGE = ROOT / "docs" / "threat-model.md"
SECTIONS = ("Nothing before, and no more than allowed", "Only that task", "Gone after", "A compromised operator")
GUARDS = {file.stem for file in (ROOT / "charts" / "tasksession" / "templates" / "guards").glob("*.yaml")}
ALL: tuple[Attack[object], ...] = (*ATTACKS, *VERDICTS)  # type: ignore[arg-type]

_CODE = re.compile(r"`([^`]+)`")


def documented() -> dict[str, list[str]]:
    """Return the cells of each threat's row: threat, what holds, mechanism, shown by."""
    found: dict[str, list[str]] = {}
    for section in SECTIONS:
        for cells in rows(PAGE, section):
            assert cells[0] not in found, f"{cells[0]} is there twice"
            found[cells[0]] = cells
    return found


def shown_by(cells: list[str]) -> tuple[list[str], list[str]]:
    """Return the attacks and the tests that a row names."""
    named = _CODE.findall(cells[3])
    return [name for name in named if "/" not in name], [name for name in named if "/" in name]


@pytest.mark.parametrize("threat", Threat, ids=lambda threat: threat.name)
def test_each_threat_names_its_attacks(threat: Threat) -> None:
    """The row of a threat names exactly the attacks of the table that are after it."""
    attacks, _ = shown_by(documented()[threat.value])
    assert sorted(attacks) == sorted(attack.id for attack in ALL if attack.threat is threat)


@pytest.mark.parametrize("threat", Threat, ids=lambda threat: threat.name)
def test_each_threat_names_its_guards(threat: Threat) -> None:
    """The mechanism of a threat has every guard that refuses an attack on it."""
    mechanism = set(_CODE.findall(documented()[threat.value][2]))
    guards = {guard for attack in ALL if attack.threat is threat for guard in attack.mechanism.guards}
    assert guards <= mechanism, guards - mechanism


def test_every_row_is_shown_by_something() -> None:
    """A threat without an attack names a test; whether tests exist is checked with all pages."""
    threats = {threat.value for threat in Threat}
    for name, cells in documented().items():
        attacks, tests = shown_by(cells)
        assert len(cells) == 4, name
        assert attacks or tests, f"nothing shows {name}"
        assert name in threats or not attacks, f"{name} is no threat of the table"


def test_guards_of_the_threat_model_exist() -> None:
    """A mechanism in backticks that looks like a guard is a file of the chart."""
    for cells in documented().values():
        named = {name for name in _CODE.findall(cells[2]) if name not in ("approve", "edit")}
        assert named <= GUARDS, named - GUARDS


def test_attackers_are_described() -> None:
    """Each attacker of the table is in the document."""
    described = {cells[0] for cells in rows(PAGE, "Who attacks")}
    assert {attacker.value for attacker in Attacker} <= described


def test_every_guard_is_attacked() -> None:
    """No guard is there that no attack meets, but for those that only other guards and the operator look at."""
    met = {guard for attack in ALL for guard in (*attack.mechanism.guards, *attack.without)}
    # It refuses nothing: pod-create judges what it did.
    assert GUARDS - met <= {"pod-identity"}


def test_attacks_have_names_and_sentences_of_their_own() -> None:
    """No two attacks share a name or a sentence, and each sentence is one."""
    assert len({attack.id for attack in ALL}) == len(ALL)
    assert len({attack.sentence for attack in ALL}) == len(ALL)
    for attack in ALL:
        assert attack.sentence.endswith("."), attack.id


def test_the_suite_is_large_enough() -> None:
    """Enough attacks, and enough twins that show that the suite can fail."""
    assert len(ALL) >= 80
    assert sum(bool(attack.without) for attack in ALL) >= 40
