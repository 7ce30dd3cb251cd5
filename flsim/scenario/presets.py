"""Fleets and networks as they were measured: what `preset:` fills in.

The sources stand beside the figures; docs/world.md explains them.
"""

from collections.abc import Mapping
from typing import Any

Preset = Mapping[str, Any]

# Yang et al., "Characterizing Impacts of Heterogeneity in Federated Learning upon Large-Scale Smartphone
# Data", WWW 2021: time per FEMNIST batch 179 / 588 / 1642 ms on fast / middle / slow phones, in a mix of
# about 0.4 / 46 / 53 %; clients eligible about 41 % of the time, median session 26,000 s, diurnal. Only
# the ratios of the times matter; the middle class is set to 1 GFLOP/s. Within a class the speeds spread so
# that the fleet's sigma is about 0.9. Dropout: Bonawitz et al., MLSys 2019 (6 to 10 %).
_PHONES: Preset = {
    "classes": [
        {
            "name": name,
            "share": share,
            "compute": {
                "kind": "speed",
                "flops": {"kind": "lognormal", "median": 1e9 * 588 / batch_ms, "sigma": 0.75},
                "jitter": 0.2,
            },
            "power": {"compute": compute_w, "transmit": 1.2, "receive": 0.9},
        }
        for name, share, batch_ms, compute_w in (
            ("fast", 0.004, 179, 5.0),
            ("middle", 0.464, 588, 3.5),
            ("slow", 0.532, 1642, 2.5),
        )
    ],
    "availability": {
        "kind": "diurnal",
        "on": {"kind": "lognormal", "median": 26_000, "sigma": 1.0},
        "off": 61_700,  # the mean session of 42,900 s is then 41 % of the cycle
        "zones": [-8, -5, 0, 1, 5.5, 8],
    },
    "failure": {"dropout": 0.08},
}

# Microcontrollers on a low-power radio: slow, always there, and short of energy.
_SENSORS: Preset = {
    "compute": {
        "kind": "speed",
        "flops": {"kind": "lognormal", "median": 20e6, "sigma": 0.3},
        "jitter": 0.05,
    },
    "power": {"compute": 0.1, "transmit": 0.4, "receive": 0.1},
    "failure": {"dropout": 0.05, "crash": {"probability": 0.002, "repair": 3600.0}},
}

# A few institutions, each with a server of its own that is down for maintenance now and then.
_HOSPITALS: Preset = {
    "compute": {
        "kind": "speed",
        "flops": {"kind": "lognormal", "median": 2e12, "sigma": 0.5},
        "jitter": 0.1,
    },
    "power": {"compute": 250.0, "transmit": 5.0, "receive": 5.0},
    "availability": {
        "kind": "sessions",
        "on": {"kind": "exponential", "mean": 5 * 86_400},
        "off": {"kind": "exponential", "mean": 3_600},
        "on_leave": "pause",
    },
}

# Equal machines in one building.
_DATACENTRE: Preset = {
    "compute": {"kind": "speed", "flops": 20e12, "jitter": 0.02},
    "power": {"compute": 400.0, "transmit": 10.0, "receive": 10.0},
}

FLEETS: Mapping[str, Preset] = {
    "phones": _PHONES,
    "sensors": _SENSORS,
    "hospitals": _HOSPITALS,
    "datacentre": _DATACENTRE,
}

# Mobile bandwidth: median 6.07 Mbit/s, 26 % below 3 Mbit/s (so sigma 1.1); the medians of up- and downlink
# are as 0.71 to 1, their logarithms correlated by 0.45; coefficient of variation of a transfer 0.4.
_MOBILE: Preset = {
    "downlink": {"kind": "lognormal", "median": 6.07e6, "sigma": 1.1},
    "uplink": {"kind": "lognormal", "median": 0.71 * 6.07e6, "sigma": 1.1},
    "latency": {"kind": "lognormal", "median": 0.05, "sigma": 0.5},
    "variation": 0.4,
    "correlation": {"links": 0.45},
    "server": {"downlink": 10e9, "uplink": 10e9},
}

# A low-power radio through gateways: slow, lossy, and shared by the sensors around a gateway.
_SENSOR_RADIO: Preset = {
    "topology": {
        "kind": "tree",
        "levels": [
            {"name": "gateway", "nodes": 10, "downlink": 250e3, "uplink": 250e3, "latency": 0.02},
        ],
    },
    "downlink": 100e3,
    "uplink": 100e3,
    "latency": 0.1,
    "loss": {"probability": 0.05, "retries": 8, "timeout": 2.0},
}

_HOSPITAL_LINES: Preset = {
    "downlink": {"kind": "lognormal", "median": 200e6, "sigma": 0.7},
    "uplink": {"kind": "lognormal", "median": 100e6, "sigma": 0.7},
    "latency": 0.02,
    "server": {"downlink": 1e9, "uplink": 1e9},
}

_DATACENTRE_FABRIC: Preset = {
    "downlink": 25e9,
    "uplink": 25e9,
    "latency": 50e-6,
    "server": {"downlink": 100e9, "uplink": 100e9},
}

NETWORKS: Mapping[str, Preset] = {
    "mobile": _MOBILE,
    "sensors": _SENSOR_RADIO,
    "hospitals": _HOSPITAL_LINES,
    "datacentre": _DATACENTRE_FABRIC,
}


def with_preset(value: Any, presets: Mapping[str, Preset], either: tuple[str, ...] = ()) -> Any:
    """Return a section's keys with those of its preset that it does not give itself.

    Of the keys in `either`, the preset gives none if the section gives one. What is no mapping, or names
    no preset, is returned as it is.
    """
    if not isinstance(value, dict) or value.get("preset") not in presets:
        return value
    chosen = dict(presets[value["preset"]])
    if any(value.get(key) for key in either):
        chosen = {key: item for key, item in chosen.items() if key not in either}
    return chosen | value
