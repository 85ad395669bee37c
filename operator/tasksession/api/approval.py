"""The SessionApproval: one approver's decision about one TaskSession.

Read by the policy layer, which counts distinct approvers. It names the TaskSession by uid as well, so that a decision
is never taken for one about a later object of that name.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict

from tasksession.api.metadata import ObjectMeta
from tasksession.api.model import SUBDOMAIN_PATTERN, UID_PATTERN, KubernetesModel, immutable, rule, rules, schema
from tasksession.api.names import API_VERSION
from tasksession.api.users import Approver


class Decision(StrEnum):
    """What an approver decided."""

    APPROVE = "Approve"
    DENY = "Deny"


class SessionReference(KubernetesModel):
    """The TaskSession, in the approval's own namespace."""

    name: Annotated[str, schema(minLength=1, maxLength=63, pattern=SUBDOMAIN_PATTERN)]
    """The TaskSession's name."""
    uid: Annotated[str, schema(minLength=36, maxLength=36, pattern=UID_PATTERN)]
    """The TaskSession's uid: an approval never counts for another object of that name."""


class SessionApprovalSpec(KubernetesModel):
    """The decision. Nothing here can be changed after creation."""

    session_ref: SessionReference
    """The TaskSession that is decided about, by name and uid."""
    decision: Decision
    """Approve or Deny."""
    reason: Annotated[str, schema(maxLength=1024)] = ""
    """Why, in free text; it is shown in the record."""
    approver: Approver | None = None
    """Who decided. Stamped by admission: what you write here is overwritten."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *immutable("SessionApproval", ["sessionRef", "decision", "reason", "approver"]),
            rule(
                "has(self.approver)",
                "spec.approver is stamped by admission, and was not: install the chart's admission policies",
                reason="FieldValueRequired",
            ),
        )
    )


class SessionApproval(KubernetesModel):
    """A SessionApproval is one approver's decision about one TaskSession. Its author needs the verb approve on the
    session's policy."""

    api_version: str = API_VERSION
    kind: str = "SessionApproval"
    metadata: ObjectMeta
    spec: SessionApprovalSpec
    """The decision. Nothing here can be changed after creation."""
