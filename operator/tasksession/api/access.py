"""Rights, as a session asks for them and as a policy allows them: roles to bind and rules to grant.

The same words as RBAC's, so that what is asked can be compared with what is allowed, and granted as it stands.
"""

from typing import Annotated, Literal

from pydantic import WithJsonSchema

from tasksession.api.model import KubernetesModel, schema

_Group = Annotated[str, WithJsonSchema({"type": "string", "maxLength": 253})]
_Word = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 253})]


class RoleReference(KubernetesModel):
    """A role, by kind and name. A Role is one of the session's own namespace."""

    kind: Literal["ClusterRole", "Role"]
    """ClusterRole or Role. A ClusterRole is bound in the session's namespace, never cluster-wide."""
    name: Annotated[str, schema(minLength=1, maxLength=253, pattern=r"^[^/%]+$")]
    """The role's name."""


class PolicyRule(KubernetesModel):
    """Verbs on resources, as in a Role. There are no rules on URLs (nonResourceURLs): they belong to no namespace."""

    api_groups: Annotated[tuple[_Group, ...], schema(minItems=1, maxItems=32)]
    """API groups; "" is the core group, "*" all groups."""
    resources: Annotated[tuple[_Word, ...], schema(minItems=1, maxItems=64)]
    """Resources in the plural, such as pods or pods/log; "*" is all resources."""
    resource_names: Annotated[tuple[_Word, ...], schema(maxItems=128)] = ()
    """Names of objects; absent means all of them, and such verbs as create and list cannot be limited to names."""
    verbs: Annotated[tuple[_Word, ...], schema(minItems=1, maxItems=32)]
    """Verbs such as get, list, watch, create, update, patch, delete; "*" is all verbs."""


class Access(KubernetesModel):
    """Rights in one namespace: roles to bind, and rules to grant beside them."""

    roles: Annotated[
        tuple[RoleReference, ...],
        schema(
            maxItems=64,
            **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]},
        ),
    ] = ()
    """Roles by kind and name."""
    rules: Annotated[tuple[PolicyRule, ...], schema(maxItems=64)] = ()
    """Rules, in the words of a Role."""
