"""An evaluation as tables, charts, contact sheets and one page."""
