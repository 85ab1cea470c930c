"""What happens when: faults of the world (`world`) and of ourselves (`control`), and the other acts of a time line (`acts`)."""
