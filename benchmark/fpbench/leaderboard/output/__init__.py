"""Printers: the boards as Markdown, as a static site, and as CSV and JSON."""
