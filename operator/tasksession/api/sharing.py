"""Lets equal parts of objects be one: thousands of sessions ask for the same, and what they hold is memory.

The models mark fields as `Shared`, and what is read of Jobs is shared as well. A shared value must never be changed:
models are immutable, and templates are only ever read. The pool holds nothing that matters: what was pushed out of it
is kept once more the next time.
"""

import json
from collections.abc import Hashable
from typing import Any, TypeVar

from pydantic import AfterValidator

#: How many different values are known at once.
_LIMIT = 16_384

_Value = TypeVar("_Value")

_pool: dict[Hashable, Any] = {}


def share(value: _Value) -> _Value:
    """Return the one value that is kept of all equal ones; one that cannot be compared is returned as it is."""
    try:
        return _kept(value, value)
    except TypeError:
        return value


def share_template(template: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the template that is kept of all those that are the same in JSON."""
    return None if template is None else _kept(json.dumps(template, sort_keys=True), template)


def _kept(key: Any, value: _Value) -> _Value:
    if len(_pool) >= _LIMIT:
        _pool.clear()
    # Of equal values that are not of one type, such as 1 and True, each is its own.
    kept: _Value = _pool.setdefault((type(value), key), value)
    return kept


Shared = AfterValidator(share)
