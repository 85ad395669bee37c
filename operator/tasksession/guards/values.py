"""The values of an installation that stand in its guards: which text each may be, and how they belong together.

A placeholder in a shipped guard is `${kind:name}`. Its kind decides what may stand there: text that can only be a
value, never a piece of CEL, so that nobody weakens a guard by what looks like a value. The comparison asks here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PLACEHOLDER = re.compile(r"\$\{([a-z]+):([A-Za-z.+]+)\}")

_STRING = r"'[^'\\\n]+'"
_STRINGS = rf"\[(?:{_STRING}(?:, {_STRING})*)?\]"
#: Verbs and names of a rule of the ceiling, and for a `group/resource` the numbers of the rules that have it.
_RULE = rf"\{{'verbs': {_STRINGS}, 'names': {_STRINGS}\}}"
_NUMBERS = rf"{_STRING}: \[[0-9]{{1,4}}(?:, [0-9]{{1,4}})*\]"
#: By the kind of a placeholder, what it may stand for.
PATTERNS: Mapping[str, str] = {
    "namespace": r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?",
    "namespaces": r"(?:[a-z0-9-]|\.\*)+(?:\|(?:[a-z0-9-]|\.\*)+)*",
    "numbers": rf"\{{(?:{_NUMBERS}(?:, {_NUMBERS})*)?\}}",
    "rules": rf"\[(?:{_RULE}(?:, {_RULE})*)?\]",
    "seconds": r"[1-9][0-9]{0,2}",
    "strings": _STRINGS,
    "user": r"system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+",
}
#: More than this many seconds of grace is no grace: the chart's own schema has the same limit.
_MOST_SECONDS = 600

#: The ClusterRole of the chart's ceiling: `bind` on ClusterRoles, and rules. No value of the chart renames it.
CEILING_ROLE = "tasksession-operator-ceiling"

#: A placeholder and the text that was found in its place.
Found = tuple[str, str]


def ceiling_texts(rules: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Write the rules of the ceiling's ClusterRole as the chart writes them into the guard, by placeholder."""
    names: list[str] = []
    granted: list[Mapping[str, Any]] = []
    for rule in rules:
        if "bind" in rule["verbs"]:
            names.extend(rule.get("resourceNames") or ())
        else:
            granted.append(rule)
    numbers: dict[str, list[str]] = {}
    for number, rule in enumerate(granted):
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                numbers.setdefault(f"{group}/{resource}", []).append(str(number))
    texts = [
        f"{{'verbs': {_listed(rule['verbs'])}, 'names': {_listed(rule.get('resourceNames') or ())}}}"
        for rule in granted
    ]
    keys = [f"'{key}': [{', '.join(numbers[key])}]" for key in sorted(numbers)]
    return {
        "strings:ceiling.clusterRoles": _listed(names),
        "rules:ceiling.rules": f"[{', '.join(texts)}]",
        "numbers:ceiling.rules": f"{{{', '.join(keys)}}}",
    }


def _listed(words: Iterable[str]) -> str:
    return f"[{', '.join(repr(word) for word in words)}]"


def strings_in(text: str) -> tuple[str, ...]:
    """Take a list of quoted strings apart."""
    return tuple(part[1:-1] for part in re.findall(_STRING, text))


def agreed(found: Mapping[str, Sequence[Found]]) -> dict[str, str]:
    """The value of each placeholder: what most guards have in its place, the first of them where no more agree."""
    texts: dict[str, Counter[str]] = {}
    for pairs in found.values():
        for placeholder, text in pairs:
            texts.setdefault(placeholder, Counter())[text] += 1
    return {placeholder: counted.most_common(1)[0][0] for placeholder, counted in texts.items()}


def disagreements(found: Mapping[str, Sequence[Found]], operator_user: str) -> dict[str, str]:
    """Name what is wrong with the values in guards, by guard: one problem each, none where all is well.

    `found`: by guard, what stands in place of its placeholders. A value is the same in every guard, and the operator's
    user is the one that asks.
    """
    values = agreed(found)
    problems: dict[str, str] = {}
    for guard, pairs in found.items():
        for placeholder, text in pairs:
            problem = _problem(placeholder, text, values, operator_user)
            if problem is not None:
                problems.setdefault(guard, problem)
    return problems


def _problem(placeholder: str, text: str, values: Mapping[str, str], operator_user: str) -> str | None:
    kind, name = placeholder.split(":", 1)
    namespace = operator_user.split(":")[2] if operator_user.count(":") == 3 else ""
    if kind == "user" and text != operator_user:
        return f"it takes {text} for the operator, which is {operator_user}"
    if kind == "namespace" and text != namespace:
        return f"it takes {text} for the operator's namespace, which is {namespace or 'not known'}"
    if text != values[placeholder]:
        return f"its value of {name} is not that of the other guards"
    if kind == "namespaces" and namespace not in text.split("|"):
        return f"its {name} leave the operator's own namespace out"
    if kind == "seconds" and int(text) > _MOST_SECONDS:
        return f"its {name} is {text}, more than {_MOST_SECONDS}"
    if kind == "strings" and "+" in name:
        parts = [values.get(f"strings:{part}") for part in name.split("+")]
        joined = [each for part in parts if part is not None for each in strings_in(part)]
        if None not in parts and strings_in(text) != tuple(dict.fromkeys(joined)):
            return f"its value of {name} is not that of the other guards"
    return None
