"""Schedules: what keeps clients away, and when. A client is there while no schedule keeps it away."""
