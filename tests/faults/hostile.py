"""Random objects of the three kinds, and annotations of Jobs, from the definitions as they are shipped: valid ones,
and ones with something wrong.

Strategies for the test of hostile objects. `<policy>` and `<namespace>` stand for the names of the world they are
tried in.
"""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.cluster.api import Object

_CRDS = Path(__file__).resolve().parents[2] / "crds"
_ANNOTATIONS = ("policy", "session", "ttl", "reason", "access", "problem", "requested-by", "service-account")

#: Values that mean something, by the last part of a field's path; without them nearly every object would be denied
#: for its first field.
_TELLING: dict[str, list[Any]] = {
    "policy": ["<policy>"] * 6 + ["none-of-that-name"],
    "ttl": [*["10s", "15s", "5m", "20m", "29m59s"] * 3, "1h", "24h", "9s", "1.5h", "0s", "-5m", "10000000h", "5 m", ""],
    "maxTTL": ["10s", "30m", "24h", "0s", "25h"],
    "kind": ["ClusterRole", "ClusterRole", "Role"],
    "names": ["<namespace>", "<namespace>", "other"],
    "apiGroups": [*[""] * 6, "apps", "*", "rbac.authorization.k8s.io"],
    "resources": [*["configmaps"] * 6, "configmaps/status", "*", "secrets", "pods/*"],
    "resourceNames": [*["triage"] * 4, "other", ""],
    "verbs": [*["get", "patch"] * 4, "*", "escalate", "impersonate"],
    "expression": ["true", "false", "session.spec.reason == 'x'", "1/0 == 1", "now", "requester.groups.all(g, g != '')",
                   "[1,2,3].map(x, [1,2,3].map(y, x*y)).size() > 0", "session.spec.nothing.there"],
    "notAfter": ["2020-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "2026-02-31T00:00:00Z", "2030-01-01T00:00:00+14:00"],
    "delivery": ["TokenRequest", "Sealed"],
}  # fmt: skip
#: What the policies of these tests allow, so that some of what is asked is also granted.
_ALLOWED: list[Any] = [
    {"roles": [{"kind": "ClusterRole", "name": "view"}]},
    {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get"]}]},
]
_ROLE_NAMES = ["view", "view", "edit", "cluster-admin", "system:masters", "no-such-role", "a b", "ü"]

JOB_SPEC: Object = {
    "backoffLimit": 0,
    "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "task", "image": "task"}]}},
}

_text = st.text(st.characters(codec="utf-8"), max_size=40)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


@functools.cache
def schema_of(kind: str) -> Object:
    """Return the schema of a kind's spec."""
    for file in _CRDS.glob("*.yaml"):
        definition = yaml.safe_load(file.read_text())["spec"]
        if definition["names"]["kind"] == kind:
            found: Object = definition["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            return found
    raise KeyError(kind)


def values(schema: Object, path: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Build values that fit a schema, often telling ones; what CEL rules add to the schema may be broken."""
    made = _by_type(schema, path)
    if schema.get("type") == "array":
        return made
    if path == ("access",):
        return st.sampled_from(_ALLOWED) | made
    name = path[-1] if path else ""
    telling = _ROLE_NAMES if path[-2:] == ("roles", "name") else _TELLING.get(name)
    return _mostly(st.sampled_from(telling), made) if telling else made


@st.composite
def _mostly(draw: st.DrawFn, often: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> Any:
    return draw(seldom if draw(st.integers(0, 9)) == 9 else often)


@st.composite
def _some(draw: st.DrawFn, required: dict[str, st.SearchStrategy[Any]], rest: dict[str, st.SearchStrategy[Any]]) -> Any:
    """Draw an object with every required field and about a quarter of the others: each is one more cause to refuse."""
    chosen = {key: each for key, each in rest.items() if draw(st.integers(0, 3)) == 0 or key == "access"}
    return {key: draw(each) for key, each in {**required, **chosen}.items()}


def _by_type(schema: Object, path: tuple[str, ...]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _objects(schema, path)
        case "array":
            least = schema.get("minItems", 0)
            inner = values(schema["items"], path)
            unique = json.dumps if schema.get("x-kubernetes-list-type") == "set" else None
            most = min(schema.get("maxItems", 3), least + 2)
            return st.lists(inner, min_size=least, max_size=most, unique_by=unique)
        case "string":
            if "pattern" in schema and "format" not in schema:
                made = st.from_regex(schema["pattern"], fullmatch=True, alphabet=st.characters(codec="ascii"))
                return made.filter(lambda text: "\n" not in text and len(text) <= schema.get("maxLength", 10**6))
            return _text.map(lambda text: text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 40)])
        case "integer":
            return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1)) | st.integers(1, 5)
        case "boolean":
            return st.sampled_from([False, False, False, True])
    return _json


def _objects(schema: Object, path: tuple[str, ...]) -> st.SearchStrategy[Any]:
    if path[-1:] == ("task",):
        template = st.builds(_template, st.sampled_from(["plain"] * 4 + ["odd", "junk", "own"]), _json, _json)
        named = st.fixed_dictionaries({"job": values(schema["properties"]["job"], ("task", "job"))})
        return template | template | template | named | st.just({"external": {}}) | st.just({})
    properties = schema.get("properties") or {}
    required = {key: values(properties[key], (*path, key)) for key in schema.get("required", []) if key in properties}
    optional = {key: values(each, (*path, key)) for key, each in properties.items() if key not in required}
    if not properties and "additionalProperties" in schema:
        inner = values(schema["additionalProperties"], path)
        return st.dictionaries(_text.filter(bool), inner, min_size=schema.get("minProperties", 0), max_size=3)
    return _some(required, optional)


def _template(shape: str, key: Any, value: Any) -> Object:
    spec = copy.deepcopy(JOB_SPEC)
    if shape == "odd":
        spec[str(key)[:20] or "completions"] = value
    if shape == "own":
        spec["template"]["spec"]["serviceAccountName"] = "default"
    return {"jobTemplate": {"spec": value if shape == "junk" else spec}}


@st.composite
def broken(draw: st.DrawFn, whole: st.SearchStrategy[Object]) -> Object:
    """Build an object with one thing wrong somewhere in it: another type, too much, too little, a field unknown."""
    item = copy.deepcopy(draw(whole))
    at: Any = item
    while isinstance(at, dict) and at:
        key = draw(st.sampled_from(sorted(at)))
        if not isinstance(at[key], dict) or not at[key] or draw(st.booleans()):
            harm = draw(st.sampled_from(["type", "drop", "unknown", "huge"]))
            if harm == "type":
                at[key] = draw(_json)
            elif harm == "drop":
                del at[key]
            elif harm == "unknown":
                at[draw(_text) or "x"] = draw(_json)
            else:
                at[key] = "x" * 20000
            break
        at = at[key]
    return item


def _annotated() -> st.SearchStrategy[Object]:
    values_of = {
        "policy": st.sampled_from(["<policy>"] * 4 + ["no such", ""]),
        "ttl": st.sampled_from(_TELLING["ttl"]),
        "access": st.sampled_from(["roles: [{kind: ClusterRole, name: view}]"] * 4
                                  + ["roles: view", "- 1", "{", "&a [*a]"]) | _json.map(json.dumps) | _text,
    }  # fmt: skip
    wanted = {f"tasksession.dev/{key}": values_of.get(key, _text) for key in _ANNOTATIONS}
    asks = {key: wanted[key] for key in ("tasksession.dev/policy", "tasksession.dev/access")}
    rest = {key: each for key, each in wanted.items() if key not in asks}
    return _some(asks, rest)


@functools.cache
def _whole(kind: str) -> st.SearchStrategy[Object]:
    return _annotated() if kind == "Job" else values(schema_of(kind))


@st.composite
def hostile(draw: st.DrawFn) -> tuple[str, Object]:
    """Draw a kind and what is to be created of it: a spec, or a Job's annotations."""
    kind = draw(st.sampled_from(["TaskSession"] * 4 + ["SessionPolicy", "SessionApproval", "Job", "Job"]))
    whole = _whole(kind)
    return kind, draw(broken(whole) if draw(st.integers(0, 3)) == 0 else whole)
