"""The journal, and everything that is read from it: metrics, plots and the timeline."""
