"""The same attacks succeed once the guards that should refuse them are gone: so nothing else refused them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.attacks.attack import Attack
from tests.attacks.stage import Ground, Stage
from tests.attacks.table import ATTACKS
from tests.support.weakening import without_guards

TWINS = sorted((attack for attack in ATTACKS if attack.without), key=lambda attack: attack.without)


class Weakness:
    """Takes guards out of force, and leaves them so for all attacks in a row that are on the same guards.

    A parameter of a module's fixture would not do: pytest ends such a fixture after every test.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._without: tuple[str, ...] = ()
        self._open = ExitStack()

    def take(self, guards: tuple[str, ...]) -> None:
        """Have these guards out of force, and no others."""
        if guards != self._without:
            self.close()
            self._open.enter_context(without_guards(self.ground.cluster.api, guards))
            self._without = guards

    def close(self) -> None:
        """Put back what is out of force."""
        self._without = ()
        self._open.close()


@pytest.fixture(scope="module")
def weakness(weakened: Ground) -> Iterator[Weakness]:
    """Return what takes guards out of force; in the end all are back."""
    with closing(Weakness(weakened)) as weakness:
        yield weakness


@pytest.mark.parametrize("attack", [pytest.param(attack, id=attack.id) for attack in TWINS])
def test_without_the_guard_it_succeeds(
    weakness: Weakness, attack: Attack[Stage], record_property: Callable[[str, object], None]
) -> None:
    """The attacker gets what he wanted where only that guard, and those that stand behind it, are missing."""
    record_property("twin", (attack.id, ", ".join(attack.without)))
    weakness.take(attack.without)
    attack.attempt(Stage(weakness.ground, f"t{TWINS.index(attack)}"))
