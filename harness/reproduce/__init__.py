"""Papers' claims as experiments: a positive control, a power calculation, paired runs, a verdict by a stated rule."""
