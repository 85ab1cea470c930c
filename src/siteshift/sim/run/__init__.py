"""A world run to its end (`simulation`), what followed each fault (`milestones`), and a scenario run and judged (`replay`)."""
