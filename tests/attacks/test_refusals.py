"""Every attack of the table is refused, and by the mechanism that should refuse it."""

from collections.abc import Callable

import pytest

from tests.attacks.attack import Attack, Foiled
from tests.attacks.stage import Ground, Stage
from tests.attacks.table import ATTACKS
from tests.cluster import ApiError


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_an_attack_is_refused(
    guarded: Ground, attack: Attack[Stage], record_property: Callable[[str, object], None]
) -> None:
    """What the attacker tries is refused, in the words of the guard or the part of Kubernetes that is to refuse it."""
    record_property("attack", attack.row)
    with pytest.raises((ApiError, Foiled)) as refusal:
        attack.attempt(Stage(guarded, f"r{ATTACKS.index(attack)}"))
    assert isinstance(refusal.value, ApiError | Foiled)
    complaint = attack.mechanism.complaint(refusal.value)
    assert complaint is None, f"{attack.sentence} {complaint}"
