"""Who asked and who approved, as the API server authenticated them.

Stamped by the admission policies of the chart: what a caller writes there is overwritten. Nothing here is proof on a
cluster where those policies are not installed.
"""

from typing import Annotated

from pydantic import WithJsonSchema

from tasksession.api.model import KubernetesModel, schema

_GroupName = Annotated[str, WithJsonSchema({"type": "string", "maxLength": 1024})]


class AuthenticatedUser(KubernetesModel):
    """A user as the API server authenticated them."""

    username: Annotated[str, schema(minLength=1, maxLength=1024)]
    """The user name."""
    uid: Annotated[str, schema(maxLength=1024)] = ""
    """The user's uid; empty where the authenticator knows none."""
    groups: Annotated[tuple[_GroupName, ...], schema(maxItems=1024)] = ()
    """The groups that the user belonged to."""


class Requester(AuthenticatedUser):
    """Who asked for the session."""


class Approver(AuthenticatedUser):
    """Who decided about the session."""
