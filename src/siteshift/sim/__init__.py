"""The virtual world: sites, users, links, data planes, store and 1-3 nodes that run the real core in virtual time.

There is no decision logic here. The world drives `core.controller.step` and `core.judge.vantage.Observer` as the live
daemon does, carries out their commands on modelled planes, and counts what users lose. Everything is decided by the
world's specification, the policy, the timed events and one seed: the same four give the same transcript byte for byte.

A package may know those below it (import-linter keeps this):

``library``     many scenarios at a time, or each under two policies. ``sweep``: every fault in every kind of world.
``report`` ``score`` ``fuzz``   what is made of runs: a page; how good they were; random hours that look for bugs.
``peers``       other controllers in the same world, and nobody at all.
``run``         `simulate(spec, policy, events, *, seed, duration_ms, ...) -> Record`; `replay(scenario)` also judges it.
``scenario``    the files: read strictly into world, policy, timed events and criteria.
``faults``      what happens when: faults of the world and of ourselves, `TimedEvent`. ``criteria``: what a run must show.
``nodes``       the controller node: core, prober, meter, workers, candidacy; the witness of what it does; `Cluster`: all of them.
``world``       `WorldSpec` and the running `World`: clock, network, servers, clients, data planes, standbys, store.
``results``     `Record`: per-second series, transcript, decisions, violations, milestones; `Loss`: what counts as lost.

Times given and returned are milliseconds relative to the scenario's zero (warm-up is negative), except inside events
and commands of the core, which carry siteshift time (`world.clock.EPOCH_MS` + the same).
"""
