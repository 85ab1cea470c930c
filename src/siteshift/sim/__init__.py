"""The virtual world: sites, users, links, data planes, store and 1-5 nodes that run the real core in virtual time.

There is no decision logic here. The world drives `core.controller.step` and `core.judge.vantage.Observer` as the live
daemon does, carries out their commands on modelled planes, and counts what users lose. Everything is decided by the
world's specification, the policy, the timed events and one seed: the same four give the same transcript byte for byte.

``spec``        `WorldSpec` and its parts: what a world is made of (frozen data; built in code or from a scenario file).
``worlds``      `standard_world(...)`: pangyo 50/60, gasan 30/40, anyang 20/40, standby 40; and `small_world()`.
``acts``        what happens when: `TimedEvent(at_ms, act, until_ms, label)` with `Heal`, `Ask`, `Reload`, `Note` and every fault.
``faults``      fault kinds that befall sites, members, users and links; ``faults_control``: those that befall ourselves.
``run``         `simulate(spec, policy, events, *, seed, duration_ms, warm_up_ms, pilots) -> Record`.
``record``      `Record`: per-second series, transcript, decisions, violations, milestones, losses. ``milestones``: how they
                are reckoned from the series (T_detect, T_decide, T50, T95, moves, wrong moves).
``world``       `World`: the running thing; what faults, nodes and pilots (other controllers: oracle, peers) work on.
``clock``       virtual time and one random source per concern.
``network``     links between every pair of places: delay, loss, one-way cuts.
``servers``     members and pools as fluid with queue and knee; ``clients``: caches, pinned connections, retries.
``planes`` ``standbys`` ``store`` ``node`` ``probing``   the things a controller node touches, and the node itself.

Times given and returned are milliseconds relative to the scenario's zero (warm-up is negative), except inside events
and commands of the core, which carry siteshift time (`clock.EPOCH_MS` + the same).
"""
