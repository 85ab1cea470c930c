"""Scenario files: read strictly into a world, a policy, timed events and criteria, with every problem at once."""
