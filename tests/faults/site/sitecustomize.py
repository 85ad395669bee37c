"""Comes before everything else in an operator's process whose PYTHONPATH names this folder: bends its clock, or stops
its event loop on a signal. Set by the tests of a wrong clock and of a blocked loop; without their variables it is idle.
"""

import datetime
import os
import signal
import time

_shift = float(os.environ.get("TASKSESSION_FAULT_CLOCK", "0"))
if _shift:
    _time, _time_ns = time.time, time.time_ns
    _Datetime = datetime.datetime

    class _Shifted(_Datetime):
        @classmethod
        def now(cls, tz=None):  # type: ignore[no-untyped-def]
            """Tell the wrong time."""
            return _Datetime.now(tz) + datetime.timedelta(seconds=_shift)

    time.time = lambda: _time() + _shift
    time.time_ns = lambda: _time_ns() + int(_shift * 1e9)
    datetime.datetime = _Shifted  # type: ignore[misc]

if os.environ.get("TASKSESSION_FAULT_BLOCK"):
    # A handler of the interpreter runs in the main thread, between two steps of the event loop, which waits for it.
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))
