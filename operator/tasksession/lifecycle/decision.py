"""The output of `plan`: what to do, in order, and when to look again.

Built by the granting and ending rules, read by the engine.
"""

from dataclasses import dataclass
from datetime import datetime

from tasksession.lifecycle.actions import Action


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes next for one session.

    `actions` are to be carried out in order; after them the engine asks again, with what they achieved, until a
    decision has none. `needs_review`: the policy's answers are needed before anything can be decided.
    `look_again`: when to ask again if nothing happens meanwhile, in server time; None for never. `rests`: once
    the actions are done there is nothing to ask before `look_again`. `urgent`: the actions
    take rights away and go before every other session's other work.
    """

    actions: tuple[Action, ...] = ()
    needs_review: bool = False
    look_again: datetime | None = None
    rests: bool = False
    urgent: bool = False


NOTHING = Decision()
