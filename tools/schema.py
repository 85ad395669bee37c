"""From models to the schema that the API server enforces.

pydantic writes JSON Schema; a CustomResourceDefinition takes only its structural subset: no references, no unions with
null, each field with one type. `crds` publishes the result. Nothing here knows a particular kind, and a keyword that
is not understood is an error: dropping it in silence would drop a bound.
"""

from typing import Any

from pydantic import BaseModel

#: What may stand in a structural schema, in the order in which it is written.
_KEYWORDS = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)
_SCHEMA = dict[str, Any]


class NotStructuralError(ValueError):
    """A model holds something that a structural schema cannot say."""


def structural(model: type[BaseModel]) -> _SCHEMA:
    """Write a model's fields as a structural schema; NotStructuralError where they cannot be written so."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(document, document.get("$defs", {}), model.__name__)


def _convert(node: _SCHEMA, definitions: _SCHEMA, where: str) -> _SCHEMA:
    found = _resolve(node, definitions, where)
    found = {key: value for key, value in found.items() if key not in ("title", "$defs")}
    if found.get("default", ...) in (None, "", [], {}):
        del found["default"]
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "description" in found:
        found["description"] = " ".join(found["description"].split())
    if "properties" in found:
        found["properties"] = {
            name: _convert(value, definitions, f"{where}.{name}") for name, value in found["properties"].items()
        }
        if not found["properties"]:
            del found["properties"]
    if "items" in found:
        found["items"] = _convert(found["items"], definitions, f"{where}[]")
    if "additionalProperties" in found:
        found["additionalProperties"] = _convert(found["additionalProperties"], definitions, f"{where}{{}}")
    unknown = sorted(found.keys() - set(_KEYWORDS))
    if unknown:
        raise NotStructuralError(f"{where}: {', '.join(unknown)} cannot stand in a structural schema")
    if "type" not in found:
        raise NotStructuralError(f"{where}: a structural schema needs a type here")
    return {key: found[key] for key in _KEYWORDS if key in found}


def _resolve(node: _SCHEMA, definitions: _SCHEMA, where: str) -> _SCHEMA:
    """Put what is referred to in the place of the reference; what stands beside the reference wins."""
    found = dict(node)
    choices = found.pop("anyOf", None)
    if choices is not None:
        choices = [choice for choice in choices if choice.get("type") != "null"]
        if len(choices) != 1:
            raise NotStructuralError(f"{where}: a field has one type")
        return _resolve({**choices[0], **found}, definitions, where)
    reference = found.pop("$ref", None)
    if reference is not None:
        return _resolve({**definitions[reference.removeprefix("#/$defs/")], **found}, definitions, where)
    return found
