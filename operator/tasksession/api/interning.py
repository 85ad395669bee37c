"""Lets equal parts of objects be one: thousands of sessions ask for the same, and what they hold is memory.

The models mark fields as `Interned`, and what is read of Jobs is shared as well. A shared value must never be changed:
models are immutable, and templates are only ever read. The pool holds nothing that matters: what was pushed out of it
is kept once more the next time. It is bounded in number and in size: what is large is never put into it.
"""

import json
from collections.abc import Hashable
from typing import Any, TypeVar

from pydantic import AfterValidator, BaseModel

#: How many different values are known at once.
_LIMIT = 16_384
#: How large all templates are together that are known at once, in characters of JSON.
_TEXT_LIMIT = 4 << 20
#: Of a template that is not large: its values, the lists and objects among them, and the characters of its texts.
_VALUES, _CHARACTERS = 800, 8192
#: Of a text that is shared: its characters.
_LONGEST_TEXT = 1024

_Value = TypeVar("_Value")

_pool: dict[Hashable, Any] = {}
_templates: dict[str, dict[str, Any]] = {}
_text = 0


class LargeTemplate(dict[str, Any]):
    """A template that takes more memory than one would keep for every session."""


def intern(value: _Value) -> _Value:
    """Return the one value that is kept of all equal ones; one that is large, or cannot be compared, as it is.

    Whoever writes it chooses how many different ones there are, and the pool keeps what deleted objects held.
    """
    if (isinstance(value, str) and len(value) > _LONGEST_TEXT) or (isinstance(value, BaseModel) and is_large(value)):
        return value
    try:
        hash(value)
    except TypeError:
        return value
    if len(_pool) >= _LIMIT:
        _pool.clear()
    # Of equal values that are not of one type, such as 1 and True, each is its own.
    kept: _Value = _pool.setdefault((type(value), value), value)
    return kept


def intern_template(template: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the template that is kept of all those that are the same in JSON; a large one is marked as such."""
    global _text
    if template is None or isinstance(template, LargeTemplate):
        return template
    if is_large(template):
        return LargeTemplate(template)
    key = json.dumps(template, sort_keys=True)
    known = _templates.get(key)
    if known is None:
        _text += len(key)
        if _text > _TEXT_LIMIT or len(_templates) >= _LIMIT:
            _templates.clear()
            _text = len(key)
        known = _templates[key] = template
    return known


def is_large(value: Any) -> bool:
    """Whether a value has many parts, or long texts; it is looked at no further than needed to tell."""
    values, characters = 0, 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        parts: tuple[Any, ...] = ()
        if isinstance(each, str):
            characters += len(each)
        elif isinstance(each, BaseModel):
            parts = tuple(vars(each).values())
        elif isinstance(each, dict | list | tuple):
            values += len(each) * (2 if isinstance(each, dict) else 1)
            if values <= _VALUES:
                parts = (*each, *each.values()) if isinstance(each, dict) else tuple(each)
        # Each is looked at, or counted as too many: nothing large is behind one that was passed over.
        values += 1
        if values > _VALUES or characters > _CHARACTERS:
            return True
        waiting.extend(parts)
    return False


Interned = AfterValidator(intern)
