"""Free ports of 127.0.0.1, so that several clusters can run at once.

Called by the cluster, under the lock of the clusters' folder and with the ports that other clusters have recorded.
"""

import random
import socket
from collections.abc import Collection
from pathlib import Path


def free_ports(count: int, *, taken: Collection[int]) -> list[int]:
    """Return `count` ports on which nothing listens and that are not in `taken`.

    They lie below the range from which the kernel takes the ports of outgoing connections, where there is room: so
    none of these can come to lie on one of them between here and the server's start.
    """
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    end = lowest_outgoing if lowest_outgoing > 12_000 else 32_000
    candidates = [port for port in range(10_000, end) if port not in taken]
    random.shuffle(candidates)
    found: list[int] = []
    for port in candidates:
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"{count} free ports of 127.0.0.1 were not found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
