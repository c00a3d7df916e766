"""palaestra: training grounds for agents."""
