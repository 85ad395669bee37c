"""The demo, as a newcomer runs it."""

import os
import re
import subprocess
import sys
import time

import pytest

from tests.cluster.operator_image import why_not

pytestmark = pytest.mark.node


@pytest.mark.timeout(240)
def test_the_demo_shows_what_it_says(node_cluster: object) -> None:
    """`make demo` observes all of its facts, ends by itself within 120 s with status 0, and prints no token."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("KEEP", "CONTEXT", "IMAGE", "TASK_IMAGE")
    }
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"], capture_output=True, text=True, timeout=220, check=False, env=environment
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert time.monotonic() - started < 120
    assert re.search(r"the same token was refused \d+\.\d ms after", done.stdout)
    assert "its token is refused" in done.stdout
    if why_not() is None:
        assert "the chart's Deployment, with the operator's own image" in done.stdout
    assert "eyJ" not in done.stdout + done.stderr


def test_the_demo_asks_for_an_image_on_a_cluster_of_yours() -> None:
    """With a CONTEXT that is none of kind, and no IMAGE, it says what to name, and touches nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "CONTEXT": "anywhere", "IMAGE": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert "IMAGE=" in done.stderr
