"""What a scenario demands of a run, as small classes over its record: conduct, moves, outcome."""
