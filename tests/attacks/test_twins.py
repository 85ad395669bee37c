"""The same attacks succeed once the guards that should refuse them are gone: so nothing else refused them."""

from collections.abc import Callable, Iterator

import pytest

from tests.attacks.attack import Attack
from tests.attacks.stage import Ground, Stage
from tests.attacks.table import ATTACKS
from tests.support.weakening import without_guards

TWINS = sorted((attack for attack in ATTACKS if attack.without), key=lambda attack: attack.without)


@pytest.fixture(scope="module")
def unguarded(request: pytest.FixtureRequest, weakened: Ground) -> Iterator[Ground]:
    """Return the namespace while some guards are out of force; attacks on the same guards share that while."""
    with without_guards(weakened.cluster.api, request.param):
        yield weakened


@pytest.mark.parametrize(
    ("unguarded", "attack"),
    [pytest.param(attack.without, attack, id=attack.id) for attack in TWINS],
    indirect=["unguarded"],
)
def test_without_the_guard_it_succeeds(
    unguarded: Ground, attack: Attack[Stage], record_property: Callable[[str, object], None]
) -> None:
    """The attacker gets what he wanted where only that guard, and those that stand behind it, are missing."""
    record_property("twin", (attack.id, ", ".join(attack.without)))
    attack.attempt(Stage(unguarded, f"t{TWINS.index(attack)}"))
