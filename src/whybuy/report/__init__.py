"""One HTML file that says what the log, the model and the effects are: payload first, figures second, page last."""

from whybuy.report.collect import OPINION, collect
from whybuy.report.html import render, write_report
from whybuy.report.payload import ReportPayload

__all__ = ["OPINION", "ReportPayload", "collect", "render", "write_report"]
