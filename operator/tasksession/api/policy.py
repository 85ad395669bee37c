"""The SessionPolicy: what may be asked for, where, and for how long.

Read by the policy layer. Who may ask is no part of it: that is RBAC, the verb `use` on the policy's name.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from tasksession.api.access import Access
from tasksession.api.durations import DURATION_PATTERN, TTL_SCHEMA
from tasksession.api.metadata import ObjectMeta
from tasksession.api.model import LABEL_PATTERN, KubernetesModel, rule, rules, schema
from tasksession.api.names import API_VERSION

TaskKind = Literal["Job", "External"]
Delivery = Literal["TokenRequest", "Secret", "Sealed"]

# Applied again on the server, a set would keep what the definition's default, or somebody else, had put into it.
_WHOLE = {"x-kubernetes-list-type": "atomic"}
_Namespace = Annotated[
    str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL_PATTERN})
]
_LabelValue = Annotated[str, WithJsonSchema({"type": "string", "maxLength": 63})]
_Audience = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 512})]


class Namespaces(KubernetesModel):
    """Where sessions may be: exactly one of matchLabels and names."""

    match_labels: Annotated[dict[str, _LabelValue] | None, schema(minProperties=1, maxProperties=16)] = None
    """Labels that a namespace must have, all of them."""
    names: Annotated[tuple[_Namespace, ...] | None, schema(minItems=1, maxItems=256, **_WHOLE)] = None
    """Names of namespaces."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.matchLabels) != has(self.names)", "set exactly one of matchLabels and names"),
        )
    )


class Defaults(KubernetesModel):
    """What a session gets that does not say."""

    ttl: Annotated[str | None, schema(**TTL_SCHEMA)] = None
    """How long a session may last that names no ttl; absent: maxTTL."""
    access: Access | None = None
    """The rights of a session that names none; the policy's own access must allow them."""


class GrantCondition(KubernetesModel):
    """A condition in CEL that a session must meet when it is granted."""

    name: Annotated[str, schema(minLength=1, maxLength=63, pattern=LABEL_PATTERN)]
    """The condition's name, shown where it is not met."""
    expression: Annotated[str, schema(minLength=1, maxLength=1024)]
    """A CEL expression over session, requester, namespaceObject, policy and now. Anything but true denies: false, an
    error, an unknown name, a value that is no boolean, too much time or memory."""
    message: Annotated[str, schema(maxLength=1024)] = ""
    """What the requester reads where the condition is not met."""


class Approval(KubernetesModel):
    """Who else must agree."""

    required: Annotated[int, schema(minimum=1, maximum=10)]
    """How many different approvers must agree; the requester never counts."""


class Limits(KubernetesModel):
    """How many sessions may be active at once."""

    active: Annotated[int | None, schema(minimum=1, maximum=100000)] = None
    """How many sessions of this policy may be active at once."""
    active_per_requester: Annotated[int | None, schema(minimum=1, maximum=100000)] = None
    """How many sessions of this policy one requester may have active at once."""


class SessionPolicySpec(KubernetesModel):
    """What may be asked for. Whatever is not allowed here is denied."""

    namespaces: Namespaces
    """Where sessions may be: exactly one of matchLabels and names."""
    access: Access
    """The ceiling. A role is granted only if it is listed here by kind and name, rules only if rules here
    cover them."""
    defaults: Defaults = Field(default_factory=Defaults)
    """What a session gets that does not say."""
    max_ttl: Annotated[str, Field(alias="maxTTL"), schema(**TTL_SCHEMA)]
    """The longest ttl that a session may ask for; from 10s to 24h."""
    tasks: Annotated[tuple[TaskKind, ...], schema(minItems=1, maxItems=2, **_WHOLE)] = ("Job",)
    """The kinds of task that sessions may be for: Job, External, or both."""
    audiences: Annotated[tuple[_Audience, ...], schema(maxItems=32, **_WHOLE)] = ()
    """The audiences that sessions may ask tokens for, beside the API server."""
    delivery: Annotated[tuple[Delivery, ...], schema(minItems=1, maxItems=3, **_WHOLE)] = ("TokenRequest",)
    """How external tasks may get their tokens: TokenRequest, Secret, Sealed."""
    conditions: Annotated[
        tuple[GrantCondition, ...],
        schema(maxItems=32, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """Conditions in CEL that a session must meet when it is granted; all of them."""
    approval: Approval | None = None
    """Who else must agree; absent: nobody."""
    limits: Limits | None = None
    """How many sessions may be active at once; absent: no limit."""
    suspended: bool = False
    """The kill switch: true ends the policy's sessions and refuses new ones."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                # What is no duration is refused by the field's own rule, in better words.
                "!has(self.defaults) || !has(self.defaults.ttl) || "
                f"!self.defaults.ttl.matches(r'{DURATION_PATTERN}') || !self.maxTTL.matches(r'{DURATION_PATTERN}') || "
                "duration(self.defaults.ttl) <= duration(self.maxTTL)",
                "defaults.ttl is longer than maxTTL",
                path=".defaults.ttl",
            ),
        )
    )


class SessionPolicy(KubernetesModel):
    """A SessionPolicy says what sessions may ask for, where, and for how long. Who may ask is RBAC: the verb use on the
    policy's name. Who may approve: the verb approve. Without a policy there is no session."""

    api_version: str = API_VERSION
    kind: str = "SessionPolicy"
    metadata: ObjectMeta
    spec: SessionPolicySpec
    """What may be asked for. Whatever is not allowed here is denied."""
