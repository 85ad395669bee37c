"""The table of attacks, a module for each subject; `ATTACKS` is all of it."""

from tests.attacks.table import (
    asking,
    ceilings,
    endings,
    grants,
    jobs,
    operator_grants,
    operators,
    pods,
    sessions,
    tasks,
    tokens,
    verdicts,
)

#: Attacks on a session that was granted, or on what guards keep free of one.
ATTACKS = (
    *asking.TABLE.attacks,
    *jobs.TABLE.attacks,
    *tokens.TABLE.attacks,
    *pods.TABLE.attacks,
    *grants.TABLE.attacks,
    *endings.TABLE.attacks,
    *sessions.TABLE.attacks,
    *tasks.TABLE.attacks,
    *operator_grants.TABLE.attacks,
    *operators.TABLE.attacks,
)

#: Attacks on the verdict of a running operator. No guard decides there, so they have no twins.
VERDICTS = (*verdicts.TABLE.attacks, *ceilings.TABLE.attacks)
