"""JSON as the API server may send it, built as text: what it is about is that nobody can decode all of it."""

from __future__ import annotations

import json
from typing import Any

LIES = {"name": "other", "namespace": "other", "uid": "other", "resourceVersion": "9", "items": [{"metadata": {}}]}
OPEN, CLOSE = '{"a":', "}"


def nested(levels: int) -> str:
    """A value of so many levels."""
    return OPEN * levels + "1" + CLOSE * levels


def session(*, managed: str = "[]", spec: str = "{}", name: str = "one", more: dict[str, str] | None = None) -> str:
    """A TaskSession as the API server writes custom resources: keys in order, names after the field managers."""
    annotations = json.dumps({"example.com/a": 'x"},"name":"other', "tasksession.dev/problem": "p", **(more or {})})
    return (
        '{"apiVersion":"tasksession.dev/v1alpha1","kind":"TaskSession","metadata":{"annotations":' + annotations + ","
        '"creationTimestamp":"2026-11-28T00:00:00Z","generation":1,"managedFields":' + managed + ","
        f'"name":"{name}","namespace":"team","resourceVersion":"42","uid":"u-{name}"}},'
        '"spec":{"policy":"triage","task":{"jobTemplate":' + spec + "}},"
        '"status":{"state":"Active","deadline":"2026-11-28T01:00:00Z","serviceAccountName":"ts-1"}}'
    )


def identity(item: dict[str, Any]) -> tuple[Any, ...]:
    """What an object is known by."""
    return tuple(item["metadata"].get(key) for key in ("namespace", "name", "uid", "resourceVersion"))
