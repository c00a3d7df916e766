"""Columns of the arrays that the compiled code works on, as plain numbers, since numba passes few arrays fastest."""

from __future__ import annotations

from typing import Final

LENGTH: Final = 5.0
"""Of every vehicle, in m."""
WIDTH: Final = 2.0
"""Of every vehicle, in m."""

MDP: Final = 0
"""A vehicle that follows meta-actions: a lane, and one of a few speeds."""
IDM: Final = 1
"""A vehicle that drives itself: IDM along its lane, MOBIL across lanes."""

# Floats of a vehicle.
X, Y, HEADING, SPEED, TARGET_SPEED, TIMER, IMPACT_X, IMPACT_Y, COS, SIN, ACCELERATION, TAN_SLIP = range(12)
DRIVER_ACCELERATION, COMFORT, BRAKING, GAP, HEADWAY, EXPONENT, POLITENESS, GAIN, IMPOSED, DELAY = range(12, 22)
FLOATS: Final = 22

# Whole numbers of a vehicle. ORDER and CHANGING are lists of vehicles that stand in the rows from the first on.
KIND, LANE, TARGET_LANE, STRUCK, CRASHED, CHECKS, CHANGES_LANES, ORDER, RANK, CHANGING, PAIR_LOW, PAIR_HIGH = range(12)
WHOLE: Final = 12

# Floats and whole numbers of a lane.
LANE_X, LANE_Y, ALONG_X, ALONG_Y, LANE_HEADING, LANE_LENGTH, LANE_WIDTH, LANE_LIMIT = range(8)
LEFT, RIGHT, NUMBER, LANES_OF_ROAD = range(4)
