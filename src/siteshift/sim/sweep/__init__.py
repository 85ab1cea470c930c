"""Every fault in every kind of world: the combinations (`factors`, `sample`), the rules (`rules`), and the runs (`sweep`)."""
