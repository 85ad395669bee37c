"""The base of every model that mirrors a Kubernetes object, and how its fields meet the published schema.

The other modules of this package build on it; nothing outside needs it. Bounds are published, not enforced here: the
API server enforces them on every write, whereas a model that refused a stored object, written under an older and
looser schema, would keep its session from ever being ended. So reading must never fail on a mere bound.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from tasksession.api.interning import Interned

#: RFC 3339 as the API server accepts it, without the oddities its own date-time format lets through.
_TIMESTAMP_PATTERN = (
    r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)

#: A name that Kubernetes also takes for a DNS subdomain: most objects' names.
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
UID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

#: Which fields of a model were given, once for each combination there is.
_GIVEN: dict[frozenset[str], set[str]] = {}


class KubernetesModel(BaseModel):
    """A part of a Kubernetes object: immutable, camelCase outside, and tolerant of fields it does not know."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def model_post_init(self, context: Any, /) -> None:
        """Share the set of the fields that were given with all models alike: it is a third of an object's memory.

        Nothing changes it: models are immutable, and a copy gets a set of its own.
        """
        self._share_given()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy, with other values for some fields."""
        copied = super().model_copy(update=update, deep=deep)
        copied._share_given()
        return copied

    def _share_given(self) -> None:
        given = self.__pydantic_fields_set__
        shared = _GIVEN.setdefault(frozenset(given), given)
        object.__setattr__(self, "__pydantic_fields_set__", shared)


def schema(**keywords: Any) -> Any:
    """Add keywords to a field's published schema; the model itself does not enforce them."""
    return Field(json_schema_extra=keywords)


def rule(expression: str, message: str, *, path: str | None = None, reason: str | None = None) -> dict[str, str]:
    """Write one CEL validation rule, to be enforced by the API server.

    `path` is the field the message is about, such as `.task`; `reason` one of Kubernetes' FieldValue… words.
    """
    found = {"rule": expression, "message": message}
    if path is not None:
        found["fieldPath"] = path
    if reason is not None:
        found["reason"] = reason
    return found


def rules(*found: dict[str, str]) -> dict[str, JsonValue]:
    """Attach CEL validation rules to a model's published schema, as its `json_schema_extra`."""
    return {"x-kubernetes-validations": list[JsonValue](dict[str, JsonValue](each) for each in found)}


def immutable(kind: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Write one rule for each of `fields` of a spec: set at creation, and never changed, added or removed.

    Equality is asked in both directions, because the API server's comparison of an object with unknown keys walks
    over the keys of its left side only.
    """
    return [
        rule(
            f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || "
            f"(self.{field} == oldSelf.{field} && oldSelf.{field} == self.{field}))",
            f"spec.{field} cannot be changed: create a new {kind}",
            path=f".{field}",
            reason="FieldValueForbidden",
        )
        for field in fields
    ]


def _whole_seconds_utc(moment: datetime) -> datetime:
    # Deadlines are whole seconds; a fraction is cut, never rounded up, so that no reading makes a session longer.
    return moment.astimezone(UTC).replace(microsecond=0)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


#: An aware point in time in whole seconds, in UTC.
Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_whole_seconds_utc),
    Interned,
    PlainSerializer(_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40, "pattern": _TIMESTAMP_PATTERN}),
]
