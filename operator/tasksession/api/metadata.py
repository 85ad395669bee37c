"""What every Kubernetes object carries beside its own fields: names, uids, owners.

Read by all layers. It holds only what a decision needs, so it must never be written back as a whole object's metadata.
"""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from tasksession.api.model import KubernetesModel, Timestamp


class OwnerReference(KubernetesModel):
    """An object that this one goes with: when all owners are gone, garbage collection takes it."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(KubernetesModel):
    """The metadata of an object; what the API server has not set yet is empty, and is left out when dumped."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The one owner that manages this object, if there is one."""
        return next((owner for owner in self.owner_references if owner.controller), None)

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        return {key: value for key, value in dumped.items() if value}


def version_number(resource_version: str) -> int:
    """The order of a version among those of its resource; one that is no number is taken for the oldest."""
    return int(resource_version) if resource_version.isdecimal() else 0
