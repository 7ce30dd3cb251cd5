"""Holding a run to account: audit log, manifest, verification, lineage, compliance, signatures."""
