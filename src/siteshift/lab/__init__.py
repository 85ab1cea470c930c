"""The real world in small: three sites of real processes on one machine, load, and faults on command.

Everything here is around the controller, never inside it: the lab writes a configuration file, starts sites, standby
hooks, clients and (as a child process) a node, hurts the sites, and measures what the clients saw.
"""
