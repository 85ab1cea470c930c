"""Controller nodes in virtual time: the real core and observer, with prober, workers and candidacy; and the run's witness."""
