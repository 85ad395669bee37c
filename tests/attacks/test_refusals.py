"""Every attack of the table is refused, and by the mechanism that should refuse it."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.attacks.attack import Attack, Foiled
from tests.attacks.court import Court
from tests.attacks.stage import Ground, Stage
from tests.attacks.table import ATTACKS, VERDICTS
from tests.cluster import ApiError
from tests.support.world import World

Target = TypeVar("Target")
Record = Callable[[str, object], None]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_an_attack_is_refused(guarded: Ground, attack: Attack[Stage], record_property: Record) -> None:
    """What the attacker tries is refused, in the words of the guard or the part of Kubernetes that is to refuse it."""
    record_property("attack", attack.row)
    refuses(attack, Stage(guarded, f"r{ATTACKS.index(attack)}"))


@pytest.mark.parametrize("attack", VERDICTS, ids=lambda attack: attack.id)
def test_a_request_is_denied(judged: World, attack: Attack[Court], record_property: Record) -> None:
    """What the operator is to refuse it does refuse, with a reason and a sentence, and nothing is granted."""
    record_property("attack", attack.row)
    refuses(attack, Court(judged))


def refuses(attack: Attack[Target], target: Target) -> None:
    """Make the attempt, and see that the expected mechanism refuses it."""
    with pytest.raises((ApiError, Foiled)) as refusal:
        attack.attempt(target)
    assert isinstance(refusal.value, ApiError | Foiled)
    complaint = attack.mechanism.complaint(refusal.value)
    assert complaint is None, f"{attack.sentence} {complaint}"
