"""How roles and rules are put into words in a verdict, so that a person knows what to change.

Manifests may hold hundreds of long values: a sentence shows the first few and counts the rest, so that no message
grows beyond what a condition can hold.
"""

from collections.abc import Iterable, Sequence

from tasksession.api.access import PolicyRule, RoleReference

_MOST_SHOWN = 5
_LONGEST_VALUE = 80


def listing(values: Iterable[str]) -> str:
    """Join values with commas; from the sixth on they are only counted."""
    shortened = [value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…" for value in values]
    if len(shortened) <= _MOST_SHOWN:
        return ", ".join(shortened)
    return f"{', '.join(shortened[:_MOST_SHOWN])} and {len(shortened) - _MOST_SHOWN} more"


def describe_roles(roles: Iterable[RoleReference]) -> str:
    """Name roles by kind and name: `ClusterRole view, Role triage`."""
    return listing(f"{role.kind} {role.name}" for role in roles)


def describe_rules(rules: Sequence[PolicyRule]) -> str:
    """Put rules into words: `get, list on secrets; patch on deployments in group apps named web`."""
    shown = "; ".join(_describe_rule(rule) for rule in rules[:_MOST_SHOWN])
    return shown if len(rules) <= _MOST_SHOWN else f"{shown}; and {len(rules) - _MOST_SHOWN} more"


def _describe_rule(rule: PolicyRule) -> str:
    if not (rule.api_groups and rule.resources and rule.verbs):
        return "a rule without groups, resources or verbs"
    text = f"{listing(rule.verbs)} on {listing(rule.resources)}"
    if rule.api_groups != ("",):
        text += f" in group {listing(group or 'core' for group in rule.api_groups)}"
    if rule.resource_names:
        text += f" named {listing(rule.resource_names)}"
    return text
