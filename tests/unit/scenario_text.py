"""Scenario files for the tests that read them."""

MINIMAL = """\
name: quick
workload: {kind: synthetic}
fleet:
  clients: 20
  compute: {kind: speed, flops: 5 GFLOP/s}
strategy: {kind: sync}
stop: {updates: 3}
"""

# One of everything, with the line of each key in mind: tests count on them.
FULL = """\
name: full_1
seed: 42
workload:
  kind: torch
  data:
    dataset: {kind: synthetic, samples: 500, features: 5, classes: 3}
    partition: {kind: dirichlet, alpha: 0.5, min_samples: 2}
    test_share: 0.25
  model: {kind: mlp, hidden: [64, 32]}
  training: {epochs: 2, batch_size: full, optimizer: {kind: sgd, lr: 0.1}}
fleet:
  clients: 100
  classes:
    - name: phone
      share: 0.7
      compute: {kind: speed, flops: {kind: lognormal, median: 5 GFLOP/s, sigma: 0.9}, jitter: 0.1}
    - name: sensor
      share: 0.3
      compute: {kind: duration, task: {kind: exponential, mean: 10 s}}
  availability: {kind: sessions, on: 1 h, off: {kind: exponential, mean: 30 min}}
  failure: {dropout: 0.05, lifetime: 2 d}
network:
  topology: {kind: star}
  downlink: {kind: lognormal, median: 6 Mbit/s, sigma: 1.1}
  uplink: {kind: empirical, values: [1 Mbit/s, 500 kbit/s]}
  latency: 50 ms
  server: {downlink: 1 Gbit/s, uplink: 1e9}
  sharing: fifo
strategy:
  kind: fedbuff
  concurrency: 20
  buffer_size: 5
  staleness: {kind: polynomial, a: 0.5}
  max_staleness: 8
selection: {kind: uniform}
aggregation: {kind: mean}
server_optimizer: {kind: sgd, lr: 1.0, momentum: 0.9}
stop: {updates: 50, time: 6 h, accuracy: 0.97}
evaluation: {every: 5}
output: {dir: outputs, plots: false}
"""
