"""Whether the guards, the admission policies that hold the operator and everyone else to the rules, are in force.

The watch and the sweep feed it; the reconciler asks it before each grant. Not listed yet, missing, not bound, or with
any other content than this version ships: nothing is granted. It never ends a live session: the API server's other
limits and the deadline still hold for that. What was compared once is compared again only after a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasksession.api.admission import POLICIES, POLICY_OF_BINDING, RESOURCES
from tasksession.guards.comparing import Comparison, ExpectedGuard, closest, compare
from tasksession.guards.values import agreed, disagreements

#: By these it is known who asks, and that they may.
_STAMPING = tuple(
    f"tasksession-{name}"
    for name in ("job-injection", "job-shape", "job-stamp", "requester", "requester-stamp", "session-create", "use")
)

#: Plural and name.
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A policy or binding as it was seen last."""

    uid: str | None
    created: str
    deleting: bool
    spec: Mapping[str, Any]

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> _Seen:
        metadata = item["metadata"]
        return cls(
            uid=metadata.get("uid"),
            created=str(metadata.get("creationTimestamp") or ""),
            deleting=metadata.get("deletionTimestamp") is not None,
            spec=item.get("spec") or {},
        )


class Guards:
    """The admission policies and bindings seen, compared with those that have to be there."""

    def __init__(self, expected: Iterable[ExpectedGuard]) -> None:
        self._expected = {(POLICIES[guard.kind], guard.name): guard for guard in expected}
        self._seen: dict[_Key, _Seen] = {}
        self._listed = False
        self._operator_user: str | None = None
        self._compared: dict[_Key, Comparison] = {}
        self._problems: dict[str, str] | None = None
        self._now: Callable[[], datetime] | None = None
        self._stamping_whole = True
        self._mended: datetime | None = None
        self._stamped_since: datetime | None = None
        self.changes = 0
        """How many events were taken in: a listing that one of them came into is not to be believed."""

    @staticmethod
    def concerns(plural: str) -> bool:
        """Whether a resource is one that guards are made of."""
        return plural in RESOURCES

    def belong_to(self, operator_user: str, *, now: Callable[[], datetime] | None = None) -> None:
        """Say who the operator is for the API server: the guards must mean the same user.

        `now` is the API server's time; without it nothing is noted about when a guard came back.
        """
        self._operator_user = operator_user
        self._now = now
        self._problems = None

    def see(self, plural: str, item: Mapping[str, Any]) -> None:
        """Take in a policy or binding."""
        self.changes += 1
        key = (plural, item["metadata"]["name"])
        now = _Seen.from_object(item)
        if self._seen.get(key) != now:
            self._forget(key, self._seen.get(key), now)
            self._seen[key] = now

    def lose(self, plural: str, item: Mapping[str, Any]) -> None:
        """Take in that a policy or binding was deleted."""
        self.changes += 1
        key = (plural, item["metadata"]["name"])
        before = self._seen.get(key)
        if before is not None and before.uid == item["metadata"].get("uid"):
            self._forget(key, before)
            del self._seen[key]

    def replace(self, items: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Take in a full listing."""
        listed = list(items)
        there = {(plural, item["metadata"]["name"]) for plural, item in listed}
        for key in [key for key in self._seen if key not in there]:
            self._forget(key, self._seen.pop(key))
        for plural, item in listed:
            self.see(plural, item)
        self._listed = True

    def missing(self) -> tuple[str, ...]:
        """Name every guard that is not in force, and why; until the first listing, that there was none."""
        if not self._listed:
            return ("not listed yet",)
        return tuple(f"{name}: {problem}" for name, problem in self.problems().items())

    def problems(self) -> dict[str, str]:
        """What is wrong with each guard that is not in force, by its name."""
        if self._problems is None:
            for key in self._expected:
                if key not in self._compared:
                    self._compared[key] = self._compare(*key)
            different = {key[1]: each.differences[0] for key, each in self._compared.items() if each.differences}
            wrong = disagreements(self._found(), self._operator_user or "not known yet")
            self._problems = {
                name: different.get(name) or wrong[name]
                for _, name in self._expected
                if name in different or name in wrong
            }
            if self._listed:
                self._note_stamping(whole=not any(name in different for name in _STAMPING))
        return self._problems

    def _note_stamping(self, *, whole: bool) -> None:
        """Note since when it is known who asks: since the guards for it are there, and were last seen not in force.

        Values that differ among guards, as in the midst of an upgrade, are no gap: each of them is in force.
        """
        if whole and not self._stamping_whole and self._now is not None:
            self._mended = self._now()
        self._stamping_whole = whole
        since = self.since(*_STAMPING)
        created = datetime.fromisoformat(since) if since else None
        self._stamped_since = max(created, self._mended) if created and self._mended else created

    def values(self) -> dict[str, str]:
        """What the guards have in place of the placeholders, by placeholder."""
        self.problems()
        return agreed(self._found())

    def since(self, *names: str) -> str | None:
        """Since when all parts of some guards are there, in the API server's words; None where one is not."""
        parts = [
            seen.created
            for (plural, name), seen in self._seen.items()
            if str(seen.spec.get("policyName") if plural in POLICY_OF_BINDING else name) in names
        ]
        return max(parts) if len(parts) >= 2 * len(names) else None

    def stamped_since(self) -> datetime | None:
        """Since when who asks is stamped by guards in force; None where one is not there, or its age is not known."""
        self.problems()
        return self._stamped_since

    def _found(self) -> dict[str, tuple[tuple[str, str], ...]]:
        return {key[1]: each.found for key, each in self._compared.items() if not each.differences}

    def _forget(self, key: _Key, *seen: _Seen | None) -> None:
        """Have the guards compared again that a policy or binding belongs to."""
        plural, _ = key
        self._problems = None
        if plural not in POLICY_OF_BINDING:
            self._compared.pop(key, None)
            return
        for each in seen:
            if each is not None:
                self._compared.pop((POLICY_OF_BINDING[plural], str(each.spec.get("policyName"))), None)

    def _compare(self, plural: str, name: str) -> Comparison:
        expected, policy = self._expected[plural, name], self._seen.get((plural, name))
        if policy is None:
            return Comparison(differences=("it is not installed",), found=())
        if policy.deleting:
            return Comparison(differences=("it is being deleted",), found=())
        compared = closest(expected.policies, policy.spec)
        if compared.differences:
            return compared
        bound = self._compare_bindings(plural, name, expected.binding)
        return Comparison(differences=bound, found=compared.found)

    def _compare_bindings(self, plural: str, name: str, expected: Mapping[str, Any]) -> tuple[str, ...]:
        """What is wrong with the best binding of a policy; one that holds is enough."""
        best: tuple[str, ...] = ("it has no binding",)
        for (kind, binding_name), seen in self._seen.items():
            if POLICY_OF_BINDING.get(kind) != plural or seen.spec.get("policyName") != name:
                continue
            differences = compare(expected, seen.spec).differences
            if seen.deleting:
                differences = ("it is being deleted", *differences)
            if not differences:
                return ()
            best = tuple(f"its binding {binding_name} is not in force: {each}" for each in differences)
        return best
