"""Short lives that random search finds rarely: each was a mistake once, or would be one with a step left out."""

from tests.unit.lifecycle.driving import Fault
from tests.unit.lifecycle.test_state_machine import ASKED, Lives


def test_rights_made_for_a_job_that_is_gone_go_before_the_end_is_written() -> None:
    """What a joined Job's session has hangs on the TaskSession: it is all there though the Job is not."""
    life = Lives()
    life.create_joined_session("alpha", "work", "jane", "10m")
    life.create_joining_job("work", "alpha", "jane")
    life.operator.deliver(8)
    life._run(Fault(5, "fail before"))
    assert [kind for kind, _ in life.world.children()].count("RoleBinding") == 2
    life.delete_job("work")
    life.world.collect()
    assert {kind for kind, _ in life.world.children()} == {"Job", "RoleBinding", "ServiceAccount"}
    life.revoke("alpha")
    life.work_in_peace()
    life.world.collect()
    assert life.world.sessions["alpha"].status.state.final
    assert life.world.children() == []


def test_rights_made_for_a_job_that_is_gone_do_not_stay_beside_its_namesakes() -> None:
    """A Job that joins is replaced in mid-grant: what was made for the first goes, whatever becomes of the second."""
    life = Lives()
    life.create_joined_session("alpha", "work", "jane", "10m")
    life.create_joining_job("work", "alpha", "jane")
    life.operator.deliver(8)
    life._run(Fault(5, "fail before"))
    first = {name for _, name in life.world.children()}
    life.delete_job("work")
    life.world.collect()
    life.create_joining_job("work", "alpha", "jane")
    life.work_in_peace()
    life.world.collect()
    assert not first & {name for _, name in life.world.children()}


def test_a_second_session_of_one_job_never_comes_to_the_name_of_the_first() -> None:
    """A TaskSession deleted in the second it was created is asked for again in another, however often is looked."""
    life = Lives()
    life.create_annotated_job("alpha", ASKED[0], "jane", None)
    life.operator.deliver(8)
    life._run(Fault(5, "fail before"))
    assert life.world.children()
    life.delete("alpha")
    for _ in range(3):
        life.world.collect()
        life.work_in_peace()
    assert "alpha" not in life.world.sessions
    life.pass_time(1)
    life.work_in_peace()
    assert life.world.sessions["alpha"].status.state == "Active"
