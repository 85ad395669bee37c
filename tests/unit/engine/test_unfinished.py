"""The counts that limits are held to are those of the sessions that exist, whatever memory was told, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.engine.memory import Memory
from tasksession.engine.unfinished import requester_of
from tests.unit import make

_POLICIES = ("ticket-triage", "deploy")
_REQUESTERS = ("jane", "joe")
_STATES = (State.PENDING, State.ACTIVE, State.COMPLETED)


def view(name: str, uid: str, state: State, policy: str, requester: str, version: int) -> TaskSession:
    """A view of a session in a state."""
    made = make.session(name=name, uid=uid, policy=policy, requester={"username": requester})
    status = made.status.model_copy(update={"state": state})
    return make.with_status(made, status, version=str(version))


_NEWS = st.tuples(
    st.sampled_from(("one", "two")),
    st.sampled_from(("first", "second")),
    st.sampled_from(_STATES),
    st.sampled_from(_POLICIES),
    st.sampled_from(_REQUESTERS),
    st.integers(min_value=1, max_value=9),
    st.booleans(),
)


@given(st.lists(_NEWS, max_size=40))
def test_counts_are_those_of_the_sessions_that_exist(news: list[tuple[str, str, State, str, str, int, bool]]) -> None:
    """After any news, stale, repeated or of namesakes, the counts equal a count made anew."""
    memory = Memory()
    for name, uid, state, policy, requester, version, gone in news:
        session = view(name, f"{name}-{uid}", state, policy, requester, version)
        if gone:
            memory.lose_session(session)
        else:
            memory.see_session(session)
        living = [each for each in memory.sessions() if not each.status.state.final]
        active = [each for each in living if each.status.state is State.ACTIVE]
        for asked in _POLICIES:
            mine = [each for each in active if each.spec.policy == asked]
            found = memory.unfinished.of_policy(asked)
            assert {each.metadata.uid for each in found} == {
                each.metadata.uid for each in living if each.spec.policy == asked
            }
            assert memory.unfinished.active(asked) == len(mine)
            for who in _REQUESTERS:
                same = [each for each in mine if requester_of(each) == who]
                assert memory.unfinished.active_of(asked, who) == len(same)
        assert all(memory.is_active(each) for each in active)


def test_a_session_whose_rights_are_gone_counts_no_more() -> None:
    """Limits bound rights that exist: a status that cannot be written, or a held object, takes no place."""
    memory = Memory()
    memory.see_session(view("one", "first", State.ACTIVE, "deploy", "jane", 1))
    memory.see_session(view("two", "second", State.ACTIVE, "deploy", "jane", 1))
    one = view("one", "first", State.ACTIVE, "deploy", "jane", 2)
    memory.unfinished.rights_gone(one)
    memory.unfinished.rights_gone(one)
    assert (memory.unfinished.active("deploy"), memory.unfinished.active_of("deploy", "jane")) == (1, 1)
    memory.see_session(one)
    assert memory.unfinished.active("deploy") == 1
    memory.see_session(view("one", "first", State.REVOKED, "deploy", "jane", 3))
    memory.unfinished.forget(one)
    assert memory.unfinished.active("deploy") == 1
    memory.lose_session(view("two", "second", State.ACTIVE, "deploy", "jane", 2))
    assert memory.unfinished.active("deploy") == 0
