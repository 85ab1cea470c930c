"""The composition root: the only place that names concrete adapters. `equip` makes them, `daemon` runs a node."""
