"""One synchronous round over a network, as the data of a scenario file."""

from typing import Any

import pytest

MEGA = 1_000_000
WIDE = 1e12  # a private link that never limits


def exactly(seconds: float) -> Any:
    """Compare as closed forms do: to 1e-9 relative."""
    return pytest.approx(seconds, rel=1e-9)


def cohort(clients: int, **network: Any) -> dict[str, Any]:
    """Return one synchronous round in which everyone trains for exactly 10 s."""
    return {
        "name": "cohort",
        "workload": {"kind": "synthetic", "download": 2 * MEGA, "upload": MEGA},
        "fleet": {"clients": clients, "compute": {"kind": "duration", "task": 10.0}},
        "network": network,
        "strategy": {"kind": "sync", "cohort": clients},
        "stop": {"updates": 1},
    }
