"""Last month's record through the same core again: as it was, to prove it, and under another policy, to see what it changes.

``rows``         what a journal's entries say, in the order in which it happened.
``as_recorded``  the fold: the recorded setup and state, every recorded input, the decisions compared one by one.
``workers``      a model of data planes and standbys for what the other policy would have done and nobody did.
``what_if``      the other policy beside the recorded one, with every difference of the steering.

Evidence (reports, measured traffic, requests, terms) is replayed as it was heard. What another policy would have changed in
it cannot be known: a survivor that was never loaded is as well as it was.
"""
