"""What a run leaves behind (`record`), and what of it counts as lost (`loss`). Everything else looks at these."""
