"""Reports: one HTML page that needs nothing else, and the same figures as JSON.

`write_report(runs, folder)` writes both, `summary_rows(runs)` gives the rows of its summary table.
"""

from palaestra.harness.report.figures import SummaryRow, summary_rows
from palaestra.harness.report.page import write_report
from palaestra.harness.report.run import ReportRun

__all__ = ["ReportRun", "SummaryRow", "summary_rows", "write_report"]
