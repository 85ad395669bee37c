"""TaskSessions that the API server refuses, each with its own words: what a user reads who wrote one."""

from tests.integration.api.case import Case
from tests.integration.api.manifests import ABSENT, TASK_SESSION

BAD_SESSIONS = [
    Case(
        "name of 64 characters",
        TASK_SESSION,
        {"metadata.name": "a" * 64},
        "<nil>: Invalid value: metadata.name has at most 63 characters",
    ),
    Case("no spec", TASK_SESSION, {"spec": ABSENT}, "spec: Required value"),
    Case("no policy", TASK_SESSION, {"spec.policy": ABSENT}, "spec.policy: Required value"),
    Case(
        "empty policy",
        TASK_SESSION,
        {"spec.policy": ""},
        'spec.policy: Invalid value: "": spec.policy in body should be at least 1 chars long',
    ),
    Case(
        "policy with capitals",
        TASK_SESSION,
        {"spec.policy": "Ticket"},
        'spec.policy: Invalid value: "Ticket": spec.policy in body should match '
        "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
    ),
    Case(
        "policy that is a path",
        TASK_SESSION,
        {"spec.policy": "../admin"},
        'spec.policy: Invalid value: "../admin": spec.policy in body should match '
        "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
    ),
    Case(
        "policy too long",
        TASK_SESSION,
        {"spec.policy": "a" * 254},
        "spec.policy: Too long: may not be more than 253 bytes",
    ),
    Case(
        "ttl of words",
        TASK_SESSION,
        {"spec.ttl": "ten minutes"},
        'spec.ttl: Invalid value: "ten minutes": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "ttl without a unit",
        TASK_SESSION,
        {"spec.ttl": "900"},
        'spec.ttl: Invalid value: "900": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "ttl a number",
        TASK_SESSION,
        {"spec.ttl": 900},
        'spec.ttl: Invalid value: "integer": spec.ttl in body must be of type string: "integer"',
    ),
    Case(
        "ttl in days",
        TASK_SESSION,
        {"spec.ttl": "1d"},
        'spec.ttl: Invalid value: "1d": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "ttl negative",
        TASK_SESSION,
        {"spec.ttl": "-15m"},
        'spec.ttl: Invalid value: "-15m": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "ttl too short",
        TASK_SESSION,
        {"spec.ttl": "9.999s"},
        'spec.ttl: Invalid value: "9.999s": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "ttl too long",
        TASK_SESSION,
        {"spec.ttl": "24h0.001s"},
        'spec.ttl: Invalid value: "24h0.001s": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "ttl beyond Go's range",
        TASK_SESSION,
        {"spec.ttl": "9999999999h"},
        "spec.ttl: Invalid value: \"string\": type conversion error from 'string' to "
        "'google.protobuf.Duration' evaluating rule: must be a duration from 10s to 24h, such as 90s, 15m or "
        "1h30m",
    ),
    Case(
        "ttl of too many characters",
        TASK_SESSION,
        {"spec.ttl": "0" * 32 + "15m"},
        "spec.ttl: Too long: may not be more than 32 bytes",
    ),
    Case(
        "notAfter without a zone",
        TASK_SESSION,
        {"spec.notAfter": "2036-12-01T00:00:00"},
        (
            'spec.notAfter: Invalid value: "2036-12-01T00:00:00": spec.notAfter in body should match '
            "'^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.["
            "0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'"
        ),
        (
            'spec.notAfter: Invalid value: "2036-12-01T00:00:00": spec.notAfter in body must be of type '
            'date-time: "2036-12-01T00:00:00"'
        ),
    ),
    Case(
        "notAfter on a day that is none",
        TASK_SESSION,
        {"spec.notAfter": "2036-02-30T00:00:00Z"},
        'spec.notAfter: Invalid value: "2036-02-30T00:00:00Z": spec.notAfter in body must be of type '
        'date-time: "2036-02-30T00:00:00Z"',
    ),
    Case(
        "notAfter a date",
        TASK_SESSION,
        {"spec.notAfter": "2036-12-01"},
        (
            'spec.notAfter: Invalid value: "2036-12-01": spec.notAfter in body should match '
            "'^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.["
            "0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'"
        ),
        ('spec.notAfter: Invalid value: "2036-12-01": spec.notAfter in body must be of type date-time: "2036-12-01"'),
    ),
    Case(
        "notAfter in the year 0",
        TASK_SESSION,
        {"spec.notAfter": "0000-01-01T00:00:00Z"},
        'spec.notAfter: Invalid value: "0000-01-01T00:00:00Z": spec.notAfter in body should match '
        "'^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.["
        "0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'",
    ),
    Case(
        "reason too long",
        TASK_SESSION,
        {"spec.reason": "x" * 1025},
        "spec.reason: Too long: may not be more than 1024 bytes",
    ),
    Case("no task", TASK_SESSION, {"spec.task": ABSENT}, "spec.task: Required value"),
    Case(
        "task of no kind",
        TASK_SESSION,
        {"spec.task": {}},
        "spec.task: Invalid value: set exactly one of jobTemplate, job and external",
    ),
    Case(
        "task of two kinds",
        TASK_SESSION,
        {"spec.task.external": {}},
        "spec.task: Invalid value: set exactly one of jobTemplate, job and external",
    ),
    Case(
        "task of an unknown kind",
        TASK_SESSION,
        {"spec.task": {"pod": {}}},
        "spec.task: Invalid value: set exactly one of jobTemplate, job and external",
    ),
    Case(
        "jobTemplate without spec",
        TASK_SESSION,
        {"spec.task.jobTemplate.spec": ABSENT},
        "spec.task.jobTemplate.spec: Required value",
    ),
    Case(
        "jobTemplate that is text",
        TASK_SESSION,
        {"spec.task.jobTemplate": "x"},
        'spec.task.jobTemplate: Invalid value: "string": spec.task.jobTemplate in body must be of type '
        'object: "string"',
    ),
    Case(
        "jobTemplate with a whole Job in it",
        TASK_SESSION,
        {"spec.task.jobTemplate.kind": "Job"},
        "spec.task.jobTemplate: Too many: 3: must have at most 2 items",
    ),
    Case(
        "jobTemplate with labels that are no text",
        TASK_SESSION,
        {"spec.task.jobTemplate.metadata.labels": {"a": 1}},
        'spec.task.jobTemplate.metadata.labels.a: Invalid value: "integer": '
        'spec.task.jobTemplate.metadata.labels.a in body must be of type string: "integer"',
    ),
    Case(
        "jobTemplate with too many annotations",
        TASK_SESSION,
        {"spec.task.jobTemplate.metadata.annotations": {f"a{i}": "" for i in range(65)}},
        "spec.task.jobTemplate.metadata.annotations: Too many: 65: must have at most 64 items",
    ),
    Case("job without a name", TASK_SESSION, {"spec.task": {"job": {}}}, "spec.task.job.name: Required value"),
    Case(
        "job with a name too long",
        TASK_SESSION,
        {"spec.task": {"job": {"name": "a" * 64}}},
        "spec.task.job.name: Too long: may not be more than 63 bytes",
    ),
]
