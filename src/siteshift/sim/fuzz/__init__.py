"""Random hours in random worlds with every checker on, the bugs planted to test it, and findings made small."""
