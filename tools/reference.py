"""The field reference in Markdown, for people who write manifests; written by `crds` from what it publishes.

It says the same as `kubectl explain`, and the rules beside it, so it must be derived from the published schema alone.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

_SCHEMA = dict[str, Any]

_SCOPES = {"Namespaced": "In a namespace", "Cluster": "For the whole cluster"}

_INTRODUCTION = """\
# API reference

Group `{group}`, version `{version}`. Generated from the models: change their docstrings, not this page.
`kubectl explain {first}.spec` says the same beside your cluster.

Fields marked with an asterisk are required. A rule is checked by the API server at every write; what it refuses is
answered with the rule's message.
"""

#: Bounds as they read beside a field: lowest, highest, of what. Those of a pattern are left to the error message.
_BOUNDS = (
    ("minLength", "maxLength", " characters"),
    ("minimum", "maximum", ""),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " keys"),
)


def render(definitions: Sequence[_SCHEMA]) -> str:
    """Write the reference of some CustomResourceDefinitions."""
    first = definitions[0]["spec"]
    parts = [
        _INTRODUCTION.format(
            group=first["group"], version=first["versions"][0]["name"], first=first["names"]["singular"]
        )
    ]
    parts.extend(_render_kind(definition["spec"]) for definition in definitions)
    return "\n".join(parts)


def _render_kind(spec: _SCHEMA) -> str:
    names, version = spec["names"], spec["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(
        column["name"].upper() + (" (wide)" if column.get("priority") else "")
        for column in version["additionalPrinterColumns"]
    )
    lines = [
        f"## {names['kind']}",
        "",
        root["description"],
        "",
        f"{_SCOPES[spec['scope']]}: `kubectl get {names['plural']}` or `{names['shortNames'][0]}`. Columns: {columns}.",
        "",
        "| field | type | meaning |",
        "|---|---|---|",
    ]
    rules: list[str] = []
    for path, required, field in _walk("", root):
        if path in ("apiVersion", "kind", "metadata"):
            continue
        lines.append(f"| `{path}`{'*' if required else ''} | {_type(field)} | {_meaning(field)} |")
    for path, _, field in (("", False, root), *_walk("", root)):
        rules.extend(f"- `{path or names['kind']}`: {entry['message']}" for entry in _rules(field))
    return "\n".join([*lines, "", "Rules:", "", *rules, ""])


def _walk(prefix: str, schema: _SCHEMA) -> Iterator[tuple[str, bool, _SCHEMA]]:
    """Give each field below a schema: its path, whether it is required, and its own schema."""
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        if field["type"] == "array":
            yield path, name in schema.get("required", ()), field
            yield from _walk(f"{path}[]", field["items"])
        else:
            yield path, name in schema.get("required", ()), field
            yield from _walk(path, field)


def _type(field: _SCHEMA) -> str:
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    return str({"date-time": "time"}.get(field.get("format", ""), field["type"]))


def _meaning(field: _SCHEMA) -> str:
    found = [field.get("description", "")]
    values = field.get("enum") or field.get("items", {}).get("enum")
    if values:
        found.append("One of " + ", ".join(f"`{value}`" for value in values) + ".")
    default = field.get("default")
    if default is not None and field["type"] != "object":
        found.append(f"Default: `{json.dumps(default)}`.")
    found.extend(
        _range(field.get(lowest, 0), field.get(highest), unit)
        for lowest, highest, unit in _BOUNDS
        if not {lowest, highest}.isdisjoint(field) and "enum" not in field.get("items", {}) and "format" not in field
    )
    return " ".join(part for part in found if part).replace("|", "\\|")


def _range(lowest: int, highest: int | None, unit: str) -> str:
    if highest is None:
        return f"At least {lowest}{unit}."
    return f"At most {highest}{unit}." if lowest == 0 else f"{lowest} to {highest}{unit}."


def _rules(field: _SCHEMA) -> list[dict[str, str]]:
    found: list[dict[str, str]] = field.get("x-kubernetes-validations", [])
    if field["type"] == "array":
        found = found + field["items"].get("x-kubernetes-validations", [])
    return found
