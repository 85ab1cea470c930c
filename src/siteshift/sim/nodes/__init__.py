"""Controller nodes in virtual time: the real core and observer, with prober, meter, workers, candidacy; and the run's witness."""
