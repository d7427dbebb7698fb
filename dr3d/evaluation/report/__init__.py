"""Shows an evaluation: tables, JSON, ranked lists, contact sheets, a page."""
