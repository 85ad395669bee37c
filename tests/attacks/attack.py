"""What an attack is: who tries what, the mechanism that refuses it, and the guards without which it succeeds.

The table in `tests/attacks/table` is made of these; the tests run them, the summary prints them, and a unit test holds
the threat model to them. An attack is one function. It raises `ApiError` where the API server refuses it, `Foiled`
where it is accepted and gains nothing, and returns only when the attacker has got what he wanted.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from tests.cluster import ApiError

Target = TypeVar("Target")


class Foiled(Exception):
    """The attack was let through and has no effect; the message says what came of it instead."""


def harm(done: object, words: str) -> None:
    """Go on where the attacker got what he wanted; else raise `Foiled` with what came of it instead."""
    if not done:
        raise Foiled(words)


class Attacker(StrEnum):
    """Who tries, as in the threat model."""

    EDIT = "holder of `edit`"
    REQUESTER = "requester"
    TASK = "the task"
    OPERATOR = "a compromised operator"
    AUTHOR = "author of a policy"


class Threat(StrEnum):
    """What an attack is after: the first cell of a row of the threat model."""

    UNASKED = "asking for a policy without being allowed to"
    FORGED_REQUESTER = "asking in somebody else's name"
    TEMPLATE_RIGHT = "running Jobs through a TaskSession without the right to create Jobs"
    BEYOND_POLICY = "rights beyond the policy"
    BEYOND_CEILING = "rights beyond the ceiling"
    CONDITION = "a policy's expression that eats time or memory, or says neither yes nor no"
    NO_SESSION_THERE = "sessions where none may be"
    EARLY_START = "a Job that runs before policy said yes"
    POD_AS_SESSION = "a pod, or a Job of one's own, that runs as the identity"
    MINTED_TOKEN = "minting a token of the identity"
    STORED_TOKEN = "a Secret that Kubernetes fills with a token"
    ENTERED_POD = "exec, attach, port-forward or proxy into its pod"
    EDITED_POD = "another image, or another container, in its running pod"
    EDITED_JOB = "editing its Job, or turning another Job into it"
    SHAPE = "a Job that brings tokens, mounts or an identity of its own"
    PREPARED_NAME = "preparing objects of a future identity's name"
    FALSE_CHILD = "passing an object off as a session's by its labels"
    EDITED_GRANT = "editing what a live session consists of"
    MORE_RIGHTS = "another binding that names the identity"
    IMPERSONATED = "writing as the identity by impersonation"
    REDIRECTED_TRUST = "making its pod trust another API server, which gets the token"
    EDITED_SESSION = "changing what the session asks for after it was granted"
    FORGED_STATUS = "forging what was granted and how it ended"
    HANDED_ON = "the task hands its rights on: bindings, tokens, sessions, admission"
    TAKEN_OVER = "an object of the session's name made beforehand, to be taken over"
    SECOND_GRANT = "getting one session granted twice"
    ORPHANED = "a finalizer, or an orphaning delete, that keeps the rights"
    HELD_TIMER = "a pod that holds the timer open"
    LONG_GRACE = "a pod with a long grace period"
    AFTER_DEADLINE = "a token, or a pod, after the deadline"
    OPERATOR_GRANTS = "granting beyond the ceiling, or for the whole cluster"
    OPERATOR_SUBJECTS = "granting to whom it likes"
    OPERATOR_ENDLESS = "identities without an end"
    OPERATOR_JOBS = "running what it likes"
    OPERATOR_EDITS = "editing or deleting what is other people's, or a session's"
    OPERATOR_RELEASE = "one session's identity for another's Job"
    OPERATOR_KINDS = "writing other kinds: tokens, Secrets, pods, guards"
    OPERATOR_NAME = "being the operator by impersonation"


@dataclass(frozen=True)
class Mechanism:
    """What has to refuse an attack: guards of ours, or a part of Kubernetes; and how its answer is known.

    `statuses` are HTTP's, None where the attack is accepted without effect. Of several guards any may answer: the API
    server names one of those that refuse. All of `words` are in the answer.
    """

    name: str
    statuses: tuple[int | None, ...]
    words: tuple[str, ...]
    guards: tuple[str, ...] = ()
    named: bool = True

    def complaint(self, found: ApiError | Foiled) -> str | None:
        """Say in what a refusal is not this mechanism's; None where it is."""
        status = found.status if isinstance(found, ApiError) else None
        said = found.message if isinstance(found, ApiError) else str(found)
        if status not in self.statuses:
            return f"status {status}, not {self.statuses}: {said}"
        if self.named and self.guards and not any(f"'tasksession-{guard}'" in said for guard in self.guards):
            return f"not refused by {' or '.join(self.guards)}: {said}"
        if not self.guards and "ValidatingAdmissionPolicy" in said:
            return f"a guard refused what {self.name} should: {said}"
        missing = [word for word in self.words if word not in said]
        return f"{missing} not in: {said}" if missing else None


def guard(*names: str, status: int | tuple[int, ...] = 403, words: str | tuple[str, ...]) -> Mechanism:
    """Let a guard refuse, or, where several look at the same request, any of them."""
    statuses = (status,) if isinstance(status, int) else status
    return Mechanism(" or ".join(names), statuses, _tuple(words), guards=names)


def overwritten(*names: str, words: str | tuple[str, ...] = ()) -> Mechanism:
    """Let a mutating guard overwrite what the attacker wrote: he is answered, and gained nothing."""
    return Mechanism(" and ".join(names), (None,), _tuple(words), guards=names, named=False)


def controller_refused(*names: str, words: str | tuple[str, ...]) -> Mechanism:
    """Let a guard refuse what a controller of Kubernetes would do for the attacker; its Event says so."""
    return Mechanism(" or ".join(names), (None,), _tuple(words), guards=names)


def rbac(words: str | tuple[str, ...] = (), *, escalation: bool = False) -> Mechanism:
    """Let RBAC refuse: the attacker lacks the verb, or would grant what he does not hold."""
    said = "attempting to grant RBAC permissions not currently held" if escalation else " cannot "
    name = "RBAC's escalation check" if escalation else "RBAC"
    return Mechanism(name, (403,), ("is forbidden", said, *_tuple(words)))


def kubernetes(name: str, status: int | None, words: str | tuple[str, ...]) -> Mechanism:
    """Let a part of Kubernetes, or of the definitions, refuse in its own words."""
    return Mechanism(name, (status,), _tuple(words))


def operator(reason: str, words: str | tuple[str, ...]) -> Mechanism:
    """Let the operator say no: the session ends, or waits, with this reason, and nothing was granted."""
    return Mechanism(f"operator: {reason}", (None,), (f"{reason}:", *_tuple(words)))


def _tuple(words: str | tuple[str, ...]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else words


@dataclass(frozen=True)
class Attack(Generic[Target]):
    """One row: an attempt and what is expected of it.

    `without` names the guards whose absence makes it succeed; empty where no guard alone stands in the way, and then
    `alone` says why there is no twin.
    """

    id: str
    sentence: str
    attacker: Attacker
    threat: Threat
    mechanism: Mechanism
    without: tuple[str, ...]
    alone: str
    attempt: Callable[[Target], None] = field(compare=False)

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Return what the summary prints: id, attacker, mechanism, and the reason for having no twin."""
        return self.id, self.attacker.value, self.mechanism.name, self.alone


class Table(Generic[Target]):
    """The attacks of one module, in the order in which they are written."""

    def __init__(self) -> None:
        self.attacks: list[Attack[Target]] = []

    def attack(
        self,
        by: Attacker,
        threat: Threat,
        refused_by: Mechanism,
        *,
        also: tuple[str, ...] = (),
        alone: str = "",
    ) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
        """Enter a function into the table: its name is the id, its docstring the sentence.

        The twin takes away the guards of the mechanism, and `also` those that stand behind them. `alone` says why
        there is none where a guard refuses and yet its absence would not help the attacker.
        """

        def enter(attempt: Callable[[Target], None]) -> Callable[[Target], None]:
            sentence = inspect.cleandoc(attempt.__doc__ or "")
            without = () if alone else (*refused_by.guards, *also)
            reason = alone or ("" if without else "no guard is in the way")
            name = attempt.__name__.replace("_", "-")
            self.attacks.append(Attack(name, sentence, by, threat, refused_by, without, reason, attempt))
            return attempt

        return enter
