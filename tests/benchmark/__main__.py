"""`python -m tests.benchmark`: measure, compare with the bars, write down. The exit status is 1 where a must is missed.

`make bench` calls it in full size and has the documentation written; `make test` runs the small size.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmark import bars, report
from tests.benchmark.machine import described
from tests.benchmark.measurement import PARTS, SIZES, measure
from tests.cluster.versions import KUBERNETES, newest


def main() -> int:
    """Run the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="how much to measure")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these parts only")
    parser.add_argument("--output", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--write-docs", action="store_true", help=f"write the result into docs/{report.PAGE.name}")
    asked = parser.parse_args()
    machine = described(newest(KUBERNETES))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        found = asyncio.run(measure(SIZES[asked.size], Path(folder), parts=asked.only))
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "size": asked.size,
        "seconds": round(time.monotonic() - started),
        "machine": machine,
        "values": found.values,
        "details": found.details,
    }
    if asked.output:
        asked.output.write_text(json.dumps(result, indent=2) + "\n")
    smoke = asked.size == "smoke"
    wanted = [bar for bar in bars.read() if set(asked.only) == set(PARTS) or bar.figure in found.values]
    judgements = bars.judge(wanted, found.values, smoke=smoke)
    print("\n".join(bars.lines(judgements, smoke=smoke)))
    if asked.write_docs:
        report.write(result, judgements)
    return 0 if bars.passed(judgements) else 1


if __name__ == "__main__":
    sys.exit(main())
