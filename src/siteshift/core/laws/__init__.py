"""The laws of the design as checkers, a file for each family. `core.invariants` runs them all."""
