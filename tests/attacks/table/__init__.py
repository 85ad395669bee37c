"""The table of attacks, a module for each subject; `ATTACKS` is all of it."""

from tests.attacks.table import endings, grants, pods, tokens

#: Attacks on a session that was granted, or on what guards keep free of one.
ATTACKS = (*tokens.TABLE.attacks, *pods.TABLE.attacks, *grants.TABLE.attacks, *endings.TABLE.attacks)
