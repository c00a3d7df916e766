"""One decision of many scenes, compiled by numba: who is near, how to drive, how to move, what collides, what is seen.

The rules are those of highway-env 1.12, in its order: all vehicles act in the order of their indices (an act sees what
earlier ones decided), all move, then pairs collide. Where it compares floats with `<` or `<=`, so do these.

It is one file because numba's cache notices changes of the file a function stands in, and of no other. For the same
reason `COLUMNS` below is the digest of `_columns.py`, whose numbers are compiled in: a test says when it is to change.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from palaestra.envs.traffic._columns import (
    ACCELERATION,
    ALONG_X,
    ALONG_Y,
    BRAKING,
    CHANGES_LANES,
    CHANGING,
    CHECKS,
    COMFORT,
    COS,
    CRASHED,
    DELAY,
    DRIVER_ACCELERATION,
    EXPONENT,
    GAIN,
    GAP,
    HEADING,
    HEADWAY,
    IDM,
    IMPACT_X,
    IMPACT_Y,
    IMPOSED,
    KIND,
    LANE,
    LANE_HEADING,
    LANE_LENGTH,
    LANE_LIMIT,
    LANE_WIDTH,
    LANE_X,
    LANE_Y,
    LANES_OF_ROAD,
    LEFT,
    LENGTH,
    MDP,
    NUMBER,
    ORDER,
    PAIR_HIGH,
    PAIR_LOW,
    POLITENESS,
    RANK,
    RIGHT,
    SIN,
    SPEED,
    STRUCK,
    TAN_SLIP,
    TARGET_LANE,
    TARGET_SPEED,
    TIMER,
    WIDTH,
    X,
    Y,
)  # fmt: skip

__all__ = ["FEATURES", "observe", "reward_terms", "simulate", "spawn"]

COLUMNS = "4b913bf45ef5"

_MAX_SPEED = 40.0
_MIN_SPEED = -40.0
_KP_SPEED = 1 / 0.6
_KP_HEADING = 1 / 0.2
_KP_LATERAL = 1 / 0.6
_PURSUIT = 0.1
_TAN_MAX_STEERING = math.tan(math.pi / 3)
_MARGIN = 1.0  # how far beside its lane a vehicle is still a neighbour, m
_DIAGONAL = math.sqrt(LENGTH**2 + WIDTH**2)
_SIGHT = 5 * _MAX_SPEED

_GO_LEFT, _GO_RIGHT, _FASTER, _SLOWER = 0, 2, 3, 4

FEATURES = (
    "presence", "x", "y", "vx", "vy", "heading", "cos_h", "sin_h", "cos_d", "sin_d", "long_off", "lat_off", "ang_off",
)  # fmt: skip
"""What can be observed of a vehicle, by the names highway-env gives it."""


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return njit(nogil=True, error_model="numpy")(function)


def _entry(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no place that it may write its cache to
        return _compiled(function)


@_compiled
def _wrap(angle: float) -> float:
    """To [-pi, pi), with the roundings of ((angle + pi) % (2 pi)) - pi."""
    turned = angle + math.pi
    if not 0.0 <= turned < 2 * math.pi:
        turned = turned % (2 * math.pi)
    return turned - math.pi


@_compiled
def _not_zero(value: float) -> float:
    if abs(value) > 1e-2:
        return value
    return 1e-2 if value >= 0 else -1e-2


@_compiled
def _local(road: Any, lane: int, x: float, y: float) -> tuple[float, float]:
    """How far along the lane's centre line, and how far to its right (y points down), in m."""
    dx = x - road[lane, LANE_X]
    dy = y - road[lane, LANE_Y]
    ux = road[lane, ALONG_X]
    uy = road[lane, ALONG_Y]
    return dx * ux + dy * uy, dx * -uy + dy * ux


@_compiled
def _heading_at(road: Any, lane: int, along: float) -> float:
    return road[lane, LANE_HEADING]


@_compiled
def _reachable(road: Any, lane: int, x: float, y: float) -> bool:
    along, beside = _local(road, lane, x, y)
    return abs(beside) <= 2 * road[lane, LANE_WIDTH] and 0 <= along < road[lane, LANE_LENGTH] + LENGTH


@_compiled
def _locate(road: Any, f: Any, g: Any, alongs: Any, members: Any, size: Any) -> None:
    """Sorts vehicles by x, gives each its closest lane, and lists the members of every lane in order along it.

    Where two are equally far along, the one with the higher index comes first: the first at or beyond a point is then
    the one that highway-env calls in front, and the last before it the one behind.
    """
    n = f.shape[0]
    for p in range(1, n):
        i = g[p, ORDER]
        q = p
        while q > 0 and (f[g[q - 1, ORDER], X] > f[i, X] or (f[g[q - 1, ORDER], X] == f[i, X] and g[q - 1, ORDER] < i)):
            g[q, ORDER] = g[q - 1, ORDER]
            q -= 1
        g[q, ORDER] = i
    size[:] = 0
    for p in range(n):
        i = g[p, ORDER]
        closest, least = 0, np.inf
        for lane in range(size.shape[0]):
            along, beside = _local(road, lane, f[i, X], f[i, Y])
            off = abs(beside)
            length = road[lane, LANE_LENGTH]
            angle = abs(_wrap(f[i, HEADING] - _heading_at(road, lane, along)))
            distance = off + max(along - length, 0.0) + max(0.0 - along, 0.0) + angle
            if distance < least:
                closest, least = lane, distance
            if off <= road[lane, LANE_WIDTH] / 2 + _MARGIN and -LENGTH <= along < length + LENGTH:
                q = size[lane]
                size[lane] += 1
                while q > 0 and (
                    alongs[lane, q - 1] > along or (alongs[lane, q - 1] == along and members[lane, q - 1] < i)
                ):
                    alongs[lane, q] = alongs[lane, q - 1]
                    members[lane, q] = members[lane, q - 1]
                    q -= 1
                alongs[lane, q] = along
                members[lane, q] = i
        g[i, LANE] = closest
        g[i, RANK] = -1
    for lane in range(size.shape[0]):
        for p in range(size[lane]):
            if g[members[lane, p], LANE] == lane:
                g[members[lane, p], RANK] = p


@_compiled
def _neighbours(road: Any, f: Any, g: Any, alongs: Any, members: Any, size: Any, i: int, lane: int) -> tuple[int, int]:
    """Who is in front of vehicle i, and who behind it, on a lane (-1: nobody)."""
    along, _ = _local(road, lane, f[i, X], f[i, Y])
    end = size[lane]
    if g[i, LANE] == lane and g[i, RANK] >= 0:
        low = g[i, RANK]
        while low > 0 and alongs[lane, low - 1] >= along:
            low -= 1
    else:
        low, high = 0, end
        while low < high:
            middle = (low + high) // 2
            if alongs[lane, middle] < along:
                low = middle + 1
            else:
                high = middle
    behind = members[lane, low - 1] if low > 0 else -1
    if low < end and members[lane, low] == i:
        low += 1
    front = members[lane, low] if low < end else -1
    return front, behind


@_compiled
def _free(road: Any, f: Any, g: Any, judge: int, i: int) -> float:
    """IDM's acceleration of vehicle i on a free road, as driver `judge` would drive it."""
    if i < 0:
        return 0.0
    target = min(max(f[i, TARGET_SPEED], 0.0), road[g[i, LANE], LANE_LIMIT])
    share = max(f[i, SPEED], 0.0) / abs(_not_zero(target))
    return f[judge, COMFORT] * (1 - share ** f[judge, EXPONENT])


@_compiled
def _wanted_gap(f: Any, judge: int, i: int, front: int) -> float:
    speed, cos, sin = f[i, SPEED], f[i, COS], f[i, SIN]
    vx = speed * cos - f[front, SPEED] * f[front, COS]
    vy = speed * sin - f[front, SPEED] * f[front, SIN]
    closing = vx * cos + vy * sin
    root = math.sqrt(-f[judge, COMFORT] * f[judge, BRAKING])
    return f[judge, GAP] + speed * f[judge, HEADWAY] + speed * closing / (2 * root)


@_compiled
def _distance(road: Any, f: Any, g: Any, i: int, other: int) -> float:
    """How far the other is ahead, along the lane of vehicle i, in m."""
    lane = g[i, LANE]
    there, _ = _local(road, lane, f[other, X], f[other, Y])
    here, _ = _local(road, lane, f[i, X], f[i, Y])
    return there - here


@_compiled
def _braking(road: Any, f: Any, g: Any, judge: int, i: int, front: int) -> float:
    """By how much IDM reduces the acceleration of vehicle i for the one in front."""
    if i < 0 or front < 0:
        return 0.0
    share = _wanted_gap(f, judge, i, front) / _not_zero(_distance(road, f, g, i, front))
    return f[judge, COMFORT] * (share * share)


@_compiled
def _worth_it(road: Any, f: Any, g: Any, alongs: Any, members: Any, size: Any, i: int, lane: int) -> bool:
    """MOBIL: whether changing to the lane is safe for the new follower, and gains enough."""
    new_front, new_behind = _neighbours(road, f, g, alongs, members, size, i, lane)
    new_follower_free = _free(road, f, g, i, new_behind)
    new_follower_then = new_follower_free - _braking(road, f, g, i, new_behind, i)
    if new_follower_then < -f[i, IMPOSED]:
        return False
    old_front, old_behind = _neighbours(road, f, g, alongs, members, size, i, g[i, LANE])
    own_free = _free(road, f, g, i, i)
    gain = (own_free - _braking(road, f, g, i, i, new_front)) - (own_free - _braking(road, f, g, i, i, old_front))
    if f[i, POLITENESS] != 0:
        new_follower_now = new_follower_free - _braking(road, f, g, i, new_behind, new_front)
        old_follower_free = _free(road, f, g, i, old_behind)
        old_follower_now = old_follower_free - _braking(road, f, g, i, old_behind, i)
        old_follower_then = old_follower_free - _braking(road, f, g, i, old_behind, old_front)
        gain += f[i, POLITENESS] * (new_follower_then - new_follower_now + old_follower_then - old_follower_now)
    return not gain < f[i, GAIN]


@_compiled
def _choose_lane(
    road: Any, links: Any, f: Any, g: Any, alongs: Any, members: Any, size: Any, i: int, changing: int
) -> int:
    """Sets the target lane of an IDM vehicle; returns how many vehicles have been seen changing lanes."""
    lane, target = g[i, LANE], g[i, TARGET_LANE]
    if lane != target:
        # Someone ahead is on the way into the same lane: stay. Vehicles that stand in `changing` may have given up.
        for p in range(changing):
            other = g[p, CHANGING]
            if other != i and g[other, LANE] != target and g[other, TARGET_LANE] == target:
                ahead = _distance(road, f, g, i, other)
                if 0 < ahead < _wanted_gap(f, i, i, other):
                    g[i, TARGET_LANE] = lane
                    break
        return changing
    if not f[i, DELAY] < f[i, TIMER]:
        return changing
    f[i, TIMER] = 0
    if abs(f[i, SPEED]) < 1:
        return changing
    for side in (links[lane, LEFT], links[lane, RIGHT]):
        if (
            side >= 0
            and _reachable(road, side, f[i, X], f[i, Y])
            and _worth_it(road, f, g, alongs, members, size, i, side)
        ):
            g[i, TARGET_LANE] = side
    if g[i, TARGET_LANE] != lane:
        g[changing, CHANGING] = i
        changing += 1
    return changing


@_compiled
def _steer(road: Any, f: Any, g: Any, i: int) -> float:
    """Tangent of the slip angle that takes the vehicle to the middle of its target lane.

    highway-env computes the steering angle, arctan(2 tan(slip)), and when it moves the vehicle the slip angle again,
    arctan(tan(steering) / 2); steering is limited to pi / 3 between the two. The tangent says it all.
    """
    lane = g[i, TARGET_LANE]
    along, beside = _local(road, lane, f[i, X], f[i, Y])
    speed = f[i, SPEED]
    divisor = _not_zero(speed)
    heading = math.asin(min(max(-_KP_LATERAL * beside / divisor, -1.0), 1.0))
    heading = min(max(heading, -math.pi / 4), math.pi / 4) + _heading_at(road, lane, along + speed * _PURSUIT)
    rate = _KP_HEADING * _wrap(heading - f[i, HEADING])
    sine = min(max(LENGTH / 2 / divisor * rate, -1.0), 1.0)
    tangent = sine / math.sqrt(1 - sine * sine) if abs(sine) < 1 else sine * np.inf
    return min(max(tangent, -_TAN_MAX_STEERING / 2), _TAN_MAX_STEERING / 2)


@_compiled
def _act(road: Any, links: Any, f: Any, g: Any, alongs: Any, members: Any, size: Any) -> None:
    n = f.shape[0]
    changing = 0
    for i in range(n):
        if g[i, LANE] != g[i, TARGET_LANE]:
            g[changing, CHANGING] = i
            changing += 1
    for i in range(n):
        if g[i, CRASHED]:
            continue
        if g[i, KIND] == MDP:
            f[i, TAN_SLIP] = _steer(road, f, g, i)
            f[i, ACCELERATION] = _KP_SPEED * (f[i, TARGET_SPEED] - f[i, SPEED])
            continue
        if g[i, CHANGES_LANES]:
            changing = _choose_lane(road, links, f, g, alongs, members, size, i, changing)
        f[i, TAN_SLIP] = _steer(road, f, g, i)
        lane, target = g[i, LANE], g[i, TARGET_LANE]
        free = _free(road, f, g, i, i)
        front, _ = _neighbours(road, f, g, alongs, members, size, i, lane)
        acceleration = free - _braking(road, f, g, i, i, front)
        if lane != target:
            front, _ = _neighbours(road, f, g, alongs, members, size, i, target)
            acceleration = min(acceleration, free - _braking(road, f, g, i, i, front))
        limit = f[i, DRIVER_ACCELERATION]
        f[i, ACCELERATION] = min(max(acceleration, -limit), limit)


@_compiled
def _move(f: Any, g: Any, dt: float) -> float:
    """The kinematic bicycle; returns the highest speed."""
    highest = 0.0
    for i in range(f.shape[0]):
        speed = f[i, SPEED]
        tangent, acceleration = f[i, TAN_SLIP], f[i, ACCELERATION]
        if g[i, CRASHED]:
            tangent, acceleration = 0.0, -1.0 * speed
        if speed > _MAX_SPEED:
            acceleration = min(acceleration, _MAX_SPEED - speed)
        elif speed < _MIN_SPEED:
            acceleration = max(acceleration, _MIN_SPEED - speed)
        cos, sin = f[i, COS], f[i, SIN]
        if tangent == 0:
            f[i, X] += speed * cos * dt
            f[i, Y] += speed * sin * dt
        else:
            cos_slip = 1 / math.sqrt(1 + tangent * tangent)
            sin_slip = tangent * cos_slip
            f[i, X] += speed * (cos * cos_slip - sin * sin_slip) * dt
            f[i, Y] += speed * (sin * cos_slip + cos * sin_slip) * dt
            heading = f[i, HEADING] + speed * sin_slip / (LENGTH / 2) * dt
            f[i, HEADING] = heading
            f[i, COS] = math.cos(heading)
            f[i, SIN] = math.sin(heading)
        if g[i, STRUCK]:
            f[i, X] += f[i, IMPACT_X]
            f[i, Y] += f[i, IMPACT_Y]
            g[i, CRASHED] = True
            g[i, STRUCK] = False
        speed += acceleration * dt
        f[i, SPEED] = speed
        highest = max(highest, speed)
        if g[i, KIND] == IDM:
            f[i, TIMER] += dt
    return highest


@_compiled
def _corner(f: Any, i: int, corner: int) -> tuple[float, float]:
    """Corners of the box of a vehicle: back left, back right, front right, front left (y points down), back left."""
    px = LENGTH / 2 if corner in (2, 3) else -LENGTH / 2
    py = WIDTH / 2 if corner in (1, 2) else -WIDTH / 2
    cos, sin = f[i, COS], f[i, SIN]
    return cos * px - sin * py + f[i, X], sin * px + cos * py + f[i, Y]


@_compiled
def _spread(f: Any, i: int, nx: float, ny: float) -> tuple[float, float]:
    """Least and greatest projection of a vehicle's corners on an axis."""
    low, high = np.inf, -np.inf
    for corner in range(4):
        px, py = _corner(f, i, corner)
        value = px * nx + py * ny
        low = min(low, value)
        high = max(high, value)
    return low, high


@_compiled
def _middle(f: Any, i: int) -> tuple[float, float]:
    """Mean of the corners, with the roundings that has."""
    sx, sy = 0.0, 0.0
    for corner in range(4):
        px, py = _corner(f, i, corner)
        sx += px
        sy += py
    return sx / 4, sy / 4


@_compiled
def _overlap(f: Any, a: int, b: int, dt: float) -> tuple[bool, bool, float, float]:
    """Whether two boxes intersect, whether they will within dt, and what would push a out of b.

    All eight edges are asked, although opposite ones have the same normal: which of two equal overlaps comes first
    decides into which direction two vehicles are pushed that stand on one line.
    """
    now, soon = True, True
    least, push_x, push_y = np.inf, 0.0, 0.0
    move_x = f[a, SPEED] * f[a, COS] * dt - f[b, SPEED] * f[b, COS] * dt
    move_y = f[a, SPEED] * f[a, SIN] * dt - f[b, SPEED] * f[b, SIN] * dt
    for edge in range(8):
        box = a if edge < 4 else b
        px, py = _corner(f, box, edge % 4)
        qx, qy = _corner(f, box, (edge + 1) % 4)
        nx, ny = -qy + py, qx - px
        norm = math.sqrt(nx * nx + ny * ny)
        nx /= norm
        ny /= norm
        low_a, high_a = _spread(f, a, nx, ny)
        low_b, high_b = _spread(f, b, nx, ny)
        if (low_b - high_a if low_a < low_b else low_a - high_b) > 0:
            now = False
        moved = nx * move_x + ny * move_y
        if moved < 0:
            low_a += moved
        else:
            high_a += moved
        distance = low_b - high_a if low_a < low_b else low_a - high_b
        if distance > 0:
            soon = False
        if not now and not soon:
            break
        if abs(distance) < least:
            least = abs(distance)
            ax, ay = _middle(f, a)
            bx, by = _middle(f, b)
            sign = 1.0 if (ax - bx) * nx + (ay - by) * ny > 0 else -1.0
            push_x, push_y = sign * nx, sign * ny
    return now, soon, least * push_x, least * push_y


@_compiled
def _push(f: Any, g: Any, i: int, low: int, high: int, x: float, y: float) -> None:
    """What pair (low, high) does to vehicle i, unless a later pair has pushed it."""
    if low > g[i, PAIR_LOW] or (low == g[i, PAIR_LOW] and high > g[i, PAIR_HIGH]):
        g[i, PAIR_LOW], g[i, PAIR_HIGH] = low, high
        g[i, STRUCK] = True
        f[i, IMPACT_X], f[i, IMPACT_Y] = x, y


@_compiled
def _collide(f: Any, g: Any, dt: float, highest: float) -> None:
    """Pairs that touch crash at once; pairs that will touch are pushed apart, and crash, in the next step.

    The pairs are met in the order of x, not of indices. Crashing does not depend on the order; of several pushes the
    last pair's stays, so the number of that pair is kept.
    """
    n = f.shape[0]
    reach = _DIAGONAL + highest * dt
    for i in range(n):
        g[i, PAIR_LOW] = -1
        g[i, PAIR_HIGH] = -1
    for p in range(n):
        for q in range(p + 1, n):
            a, b = g[p, ORDER], g[q, ORDER]
            dx = f[b, X] - f[a, X]
            if dx > reach:
                break
            dy = f[b, Y] - f[a, Y]
            if f[a, SIN] == 0 and f[b, SIN] == 0 and abs(dy) > WIDTH + 1e-6:
                continue  # side by side and parallel to the x axis, which is one of the axes that would be asked
            if b < a:
                a, b = b, a
            if not (g[a, CHECKS] or g[b, CHECKS]):
                continue
            if math.sqrt(dx * dx + dy * dy) > _DIAGONAL + f[a, SPEED] * dt:
                continue
            now, soon, push_x, push_y = _overlap(f, a, b, dt)
            if soon:
                _push(f, g, a, a, b, push_x / 2, push_y / 2)
                _push(f, g, b, a, b, -push_x / 2, -push_y / 2)
            if now:
                g[a, CRASHED] = True
                g[b, CRASHED] = True


@_compiled
def _nearest_speed(speed: float, speeds: Any) -> int:
    """Index of the speed that is nearest, of evenly spaced ones."""
    last = speeds.shape[0] - 1
    if last == 0:
        return 0
    share = (speed - speeds[0]) / (speeds[last] - speeds[0])
    return int(min(max(np.rint(share * last), 0.0), float(last)))


@_compiled
def _obey(road: Any, links: Any, f: Any, g: Any, i: int, action: int, speeds: Any) -> None:
    """A meta-action: left, idle, right, faster, slower."""
    if action in (_FASTER, _SLOWER):
        index = _nearest_speed(f[i, SPEED], speeds) + (1 if action == _FASTER else -1)
        f[i, TARGET_SPEED] = speeds[min(max(index, 0), speeds.shape[0] - 1)]
    elif action in (_GO_LEFT, _GO_RIGHT):
        target = g[i, TARGET_LANE]
        side = links[target, LEFT] if action == _GO_LEFT else links[target, RIGHT]
        if side >= 0 and _reachable(road, side, f[i, X], f[i, Y]):
            g[i, TARGET_LANE] = side


@_compiled
def _renew(f: Any, g: Any) -> None:
    """What may be stale after someone wrote to the arrays: cosines, and an order made for another count."""
    n = f.shape[0]
    for i in range(n):
        f[i, COS] = math.cos(f[i, HEADING])
        f[i, SIN] = math.sin(f[i, HEADING])
        g[i, RANK] = 0
    seen = 0
    for p in range(n):
        i = g[p, ORDER]
        if 0 <= i < n and g[i, RANK] == 0:
            g[i, RANK] = 1
            seen += 1
    if seen < n:
        for p in range(n):
            g[p, ORDER] = p


@_entry
def simulate(
    road: Any, links: Any, floats: Any, whole: Any, count: Any, agents: Any, alongs: Any, members: Any, size: Any,
    actions: Any, speeds: Any, frames: int, dt: float, first: int, last: int,
) -> None:  # fmt: skip
    """One decision in the scenes from `first` to before `last`: agents take their actions, then so many frames pass."""
    for e in range(first, last):
        f, g = floats[e, : count[e]], whole[e, : count[e]]
        _renew(f, g)
        _locate(road, f, g, alongs, members, size)
        for agent in range(agents.shape[1]):
            _obey(road, links, f, g, agents[e, agent], actions[e, agent], speeds)
        for _ in range(frames):
            _act(road, links, f, g, alongs, members, size)
            highest = _move(f, g, dt)
            _locate(road, f, g, alongs, members, size)
            _collide(f, g, dt, highest)


@_entry
def spawn(
    road: Any, f: Any, g: Any, alongs: Any, members: Any, size: Any, draws: Any, agent_speed: float,
    agent_spacing: float, spacing: float, agent_lane: int, speeds: Any,
) -> None:  # fmt: skip
    """Places the vehicles of a scene as highway-env does: each ahead of all others, on a drawn lane of one road."""
    number = road.shape[0]
    for i in range(f.shape[0]):
        agent = g[i, KIND] == MDP
        lane = min(int(draws[i, 0] * number), number - 1)
        if agent and agent_lane >= 0:
            lane = agent_lane
        low, high = 0.7 * road[lane, LANE_LIMIT], 0.8 * road[lane, LANE_LIMIT]
        speed = agent_speed if agent else low + (high - low) * draws[i, 1]
        offset = (agent_spacing if agent else spacing) * (12 + 1.0 * speed) * math.exp(-5 / 40 * number)
        along = 3 * offset
        if i > 0:
            along = -np.inf
            for other in range(i):
                along = max(along, _local(road, lane, f[other, X], f[other, Y])[0])
        along += offset * (0.9 + (1.1 - 0.9) * draws[i, 2])
        x = road[lane, LANE_X] + along * road[lane, ALONG_X]
        y = road[lane, LANE_Y] + along * road[lane, ALONG_Y]
        f[i, X], f[i, Y] = x, y
        f[i, HEADING] = _heading_at(road, lane, along)
        f[i, SPEED] = speed
        f[i, TARGET_SPEED] = speeds[_nearest_speed(speed, speeds)] if agent else speed
        g[i, TARGET_LANE] = lane
        f[i, TIMER] = 0.0 if agent else ((x + y) * math.pi) % f[i, DELAY]
        f[i, EXPONENT] = 3.5 + (4.5 - 3.5) * draws[i, 3]
        g[i, STRUCK] = False
        g[i, CRASHED] = False
        f[i, COS] = math.cos(f[i, HEADING])
        f[i, SIN] = math.sin(f[i, HEADING])
        g[i, ORDER] = i
    _locate(road, f, g, alongs, members, size)


@_entry
def reward_terms(
    road: Any, links: Any, floats: Any, whole: Any, agents: Any, low: float, high: float, out: Any
) -> None:
    """Collision, right lane, high speed and on road of every agent, into `out` (scenes, agents, 4)."""
    for e in range(out.shape[0]):
        for agent in range(out.shape[1]):
            f, g, i = floats[e], whole[e], agents[e, agent]
            lane, target = g[i, LANE], g[i, TARGET_LANE]
            along, beside = _local(road, lane, f[i, X], f[i, Y])
            forward = f[i, SPEED] * f[i, COS]
            out[e, agent, 0] = g[i, CRASHED]
            out[e, agent, 1] = links[target, NUMBER] / max(links[lane, LANES_OF_ROAD] - 1, 1)
            out[e, agent, 2] = min(max((forward - low) / (high - low), 0.0), 1.0)
            out[e, agent, 3] = (
                abs(beside) <= road[lane, LANE_WIDTH] / 2 and -LENGTH <= along < road[lane, LANE_LENGTH] + LENGTH
            )


@_compiled
def _feature(road: Any, f: Any, g: Any, i: int, feature: int) -> float:
    """A number of `FEATURES`, in absolute coordinates."""
    if feature == 0:
        return 1.0
    if feature == 1:
        return f[i, X]
    if feature == 2:
        return f[i, Y]
    if feature == 3:
        return f[i, SPEED] * f[i, COS]
    if feature == 4:
        return f[i, SPEED] * f[i, SIN]
    if feature == 5:
        return f[i, HEADING]
    if feature == 6:
        return f[i, COS]
    if feature == 7:
        return f[i, SIN]
    if feature in (8, 9):
        return 0.0  # vehicles without a route have no destination
    along, beside = _local(road, g[i, LANE], f[i, X], f[i, Y])
    if feature == 10:
        return along
    if feature == 11:
        return beside
    return _wrap(f[i, HEADING] - _heading_at(road, g[i, LANE], along))


@_entry
def observe(
    road: Any, floats: Any, whole: Any, count: Any, agents: Any, features: Any, highs: Any, clip: bool, absolute: bool,
    behind: bool, nearest: Any, out: Any,
) -> None:  # fmt: skip
    """Kinematics of every agent and of those nearest to it along its lane, into (scenes, agents, rows, features).

    `features` are positions in `FEATURES`; `highs` says what becomes 1, and NaN where a feature is left as it is.
    """
    rows = out.shape[2]
    for e in range(out.shape[0]):
        for agent in range(out.shape[1]):
            f, g, ego = floats[e], whole[e], agents[e, agent]
            found = 0
            for i in range(count[e]):
                dx, dy = f[i, X] - f[ego, X], f[i, Y] - f[ego, Y]
                if i == ego or not math.sqrt(dx * dx + dy * dy) < _SIGHT:
                    continue
                ahead = _distance(road, f, g, ego, i)
                if not (behind or ahead > -2 * LENGTH):
                    continue
                q = found
                while q > 0 and abs(_distance(road, f, g, ego, nearest[q - 1])) > abs(ahead):
                    if q < rows - 1:
                        nearest[q] = nearest[q - 1]
                    q -= 1
                if q < rows - 1:
                    nearest[q] = i
                    found = min(found + 1, rows - 1)
            out[e, agent] = 0
            for row in range(found + 1):
                i = ego if row == 0 else nearest[row - 1]
                for column in range(features.shape[0]):
                    feature = features[column]
                    value = _feature(road, f, g, i, feature)
                    if row > 0 and not absolute and 1 <= feature <= 4:
                        value -= _feature(road, f, g, ego, feature)
                    high = highs[column]
                    if not math.isnan(high):
                        value = -1 + (value + high) * 2 / (2 * high)
                        if clip:
                            value = min(max(value, -1.0), 1.0)
                    out[e, agent, row, column] = value
