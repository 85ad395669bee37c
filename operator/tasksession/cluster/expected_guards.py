"""The guards that have to be in force before anything is granted: what the chart installs, by kind and name.

The engine compares them with what the API server has. A test compares this list with the rendered chart; a guard that
is in one of the two alone fails it. It must never be shortened at run time: a missing guard is a reason not to grant.
"""

_PREFIX = "tasksession-"

_MUTATING = (
    "cronjob-stamp",
    "job-injection",
    "job-suspend",
    "pod-identity",
    "requester-stamp",
)

_VALIDATING = (
    "cascade",
    "cronjob",
    "job-edit",
    "job-shape",
    "job-stamp",
    "kubernetes-service",
    "operator-children",
    "operator-jobs",
    "operator-kinds",
    "operator-pods",
    "operator-sessions",
    "pod-connect",
    "pod-create",
    "pod-delete",
    "pod-edit",
    "pod-eviction",
    "requester",
    "reserved-names",
    "root-ca",
    "session-create",
    "session-edit",
    "session-identity",
    "session-status",
    "stored-token",
    "subjects",
    "timer-label",
    "token",
    "tombstone",
    "use",
)

#: Kind and name of each policy. Its binding has the same name.
EXPECTED_GUARDS: tuple[tuple[str, str], ...] = (
    *(("MutatingAdmissionPolicy", _PREFIX + name) for name in _MUTATING),
    *(("ValidatingAdmissionPolicy", _PREFIX + name) for name in _VALIDATING),
)

#: On every guard and its binding, with the guard's name without the prefix: what the operator watches.
GUARD_LABEL = "tasksession.dev/guard"
