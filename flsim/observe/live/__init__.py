"""A run while it goes on: what it says of itself in `progress.jsonl`, and a page that shows it."""
