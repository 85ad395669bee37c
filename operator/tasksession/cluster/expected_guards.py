"""The guards that have to be in force before anything is granted: what the chart installs, word for word.

They are read from `expected_guards.json`, which `make guards` writes from the rendered chart; a test fails where it is
stale. The engine compares them with what the API server has. Nothing may shorten the list at run time: a missing guard
is a reason not to grant.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from tasksession.guards.comparing import ExpectedGuard

#: On every guard and its binding, with the guard's name without the prefix: what the operator watches.
GUARD_LABEL = "tasksession.dev/guard"


def _read() -> dict[str, Any]:
    text = resources.files("tasksession.cluster").joinpath("expected_guards.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


_CONTENT = _read()

#: What the file was made of: a digest of the chart's files that guards come from.
SOURCE: str = _CONTENT["source"]

#: What the chart itself puts in the place of each list of users and audiences.
UPSTREAM: dict[str, str] = _CONTENT["values"]

#: Each guard as it ships. Its binding has the same name.
GUARDS: tuple[ExpectedGuard, ...] = tuple(
    ExpectedGuard(kind=guard["kind"], name=guard["name"], policies=tuple(guard["policies"]), binding=guard["binding"])
    for guard in _CONTENT["guards"]
)

#: Kind and name of each policy.
EXPECTED_GUARDS: tuple[tuple[str, str], ...] = tuple((guard.kind, guard.name) for guard in GUARDS)
