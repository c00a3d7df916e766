"""Runs, records, reports, checks and the command line (floor 3)."""

if __name__ != "palaestra.harness":
    raise ImportError("import palaestra.harness, not harness")
