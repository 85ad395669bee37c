"""The API: the three kinds as models, the names and words they use, and the published schema.

Every other layer imports from here, and this package from none of them. It never reads, writes or asks a cluster.
"""

from tasksession.api.approval import SessionApproval
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession

__all__ = ["SessionApproval", "SessionPolicy", "TaskSession"]
