"""Objects as large and as deep as the API server stores them, and a way to look at them without decoding them.

They are built as text: Python's own encoder and decoder give up long before the API server does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.cluster import Api, ApiError
from tests.cluster.api import Object

#: Deeper than any Python decodes, and within what the API server takes.
LEVELS = 1500
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Text(str):
    """JSON that is put into an object as it is."""


def as_json(value: Any) -> str:
    """Write an object, with texts in it as they are."""
    if isinstance(value, Text):
        return value
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{as_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    return json.dumps(value)


def nested(levels: int = LEVELS) -> Text:
    """A value of so many levels."""
    return Text('{"a":' * levels + "{}" + "}" * levels)


def flood(count: int = 330_000) -> Text:
    """A megabyte that takes thirty times as much when it is decoded."""
    return Text("[" + ",".join(["{}"] * count) + "]")


def field_managers(api_version: str, levels: int = LEVELS) -> list[Object]:
    """The managedFields that anybody may write who may write the object."""
    deep = '{"f:a":' * levels + "{}" + "}" * levels
    return [
        {"manager": "deep", "operation": "Update", "apiVersion": api_version, "time": "2026-11-28T00:00:00Z",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": Text(deep)}}}
    ]  # fmt: skip


def send(api: Api, method: str, path: str, body: Any, *, content_type: str = "application/json") -> int:
    """Send a request whose answer nobody can decode; returns the status. Raises ApiError where it was refused."""
    response = api._send(method, path, as_json(body), None, content_type, 60.0, stream=False)
    if not 200 <= response.status <= 299:
        said = response.data[:2000].decode(errors="replace")
        raise ApiError(response.status, "", said, {})
    return response.status


def table(api: Api, path: str) -> dict[str, dict[str, str]]:
    """Read objects as kubectl prints them, by name: the API server itself picks the columns."""
    connection = api._connection
    separator = "&" if "?" in path else "?"
    url = f"{connection.url}{path}{separator}includeObject=None"
    answer = json.loads(connection.pool.request("GET", url, headers={"Accept": _TABLE}, timeout=60.0).data)
    if answer["kind"] != "Table":
        raise ApiError(int(answer.get("code", 0)), answer.get("reason", ""), answer.get("message", ""), answer)
    columns = [column["name"] for column in answer["columnDefinitions"]]
    rows = [dict(zip(columns, map(str, row["cells"]), strict=True)) for row in answer["rows"]]
    return {row["Name"]: row for row in rows}
