"""Drawings that reports share: plots as inline SVG. Knows nothing of what it draws."""
