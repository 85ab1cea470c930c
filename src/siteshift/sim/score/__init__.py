"""How good a run was: beside nothing done, the peers, an informed controller and the least possible loss."""
