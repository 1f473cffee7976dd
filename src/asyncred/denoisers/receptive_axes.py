"""What operators along axes, and those that name the axes anew, do to where the image lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from asyncred.denoisers.receptive_node import At, Seen, only_first, unbounded
from asyncred.denoisers.receptive_planes import joined


def _along(at: At, seen: Seen, axes: Any) -> list[int]:
    """The axes that an operator works along. Raises where one is of the image."""
    rank = len(at.before())
    places = [int(axis) % rank for axis in axes]
    if {*places} & {*seen.axes}:
        raise unbounded(at.node, "works along an image axis")
    return places


def softmax(at: At, seen: Seen) -> Seen:
    """Before opset 13 it takes all axes from the one it names on for one."""
    old, rank = at.folded.opset < 13, len(at.before())
    axis = int(at.get("axis", 1 if old else -1)) % rank
    _along(at, seen, range(axis, rank) if old else [axis])
    return seen


def along_axis(default: int) -> Callable[[At, Seen], Seen]:
    """Of an operator along one axis, the attribute ``axis``."""

    def rule(at: At, seen: Seen) -> Seen:
        _along(at, seen, [at.get("axis", default)])
        return seen

    return rule


def reduced(at: At, seen: Seen) -> Seen:
    axes = at.given(1, "axes")
    if axes is None:
        if at.get("noop_with_empty_axes", 0):
            return seen
        axes = range(len(at.before()))
    return _kept(at, seen, _along(at, seen, axes), kept=bool(at.get("keepdims", 1)))


def arg(at: At, seen: Seen) -> Seen:
    axis = _along(at, seen, [at.get("axis", 0)])
    return _kept(at, seen, axis, kept=bool(at.get("keepdims", 1)))


def _kept(at: At, seen: Seen, gone: Sequence[int], *, kept: bool) -> Seen:
    """The axes of the image where some others are dropped, or kept with a side of 1."""
    if kept:
        return seen
    return replace(seen, axes=tuple(axis - sum(g < axis for g in gone) for axis in seen.axes))


def layer_norm(at: At, seen: Seen) -> Seen:
    rank = len(at.before())
    _along(at, seen, range(int(at.get("axis", -1)) % rank, rank))
    return seen


def cut(at: At, seen: Seen) -> Seen:
    """Any part of other axes; of the image all but some rows and columns at its borders."""
    only_first(at)
    sides = at.before()
    names = ("starts", "ends", "axes", "steps")
    starts, ends, axes, steps = (at.given(k + 1, name) for k, name in enumerate(names))
    if starts is None or ends is None:
        raise unbounded(at.node, "cuts where the image says")
    places = range(len(starts)) if axes is None else [int(axis) % len(sides) for axis in axes]
    shift = dict.fromkeys(seen.axes, 0)
    for k, axis in enumerate(places):
        step, start = 1 if steps is None else int(steps[k]), int(starts[k])
        if axis not in shift:
            continue
        if step != 1:
            raise unbounded(at.node, "takes not all elements along an image axis")
        shift[axis] = min(max(start + sides[axis] if start < 0 else start, 0), sides[axis])
    spans = (
        span.window(1, shift[a], shift[a]) for a, span in zip(seen.axes, seen.spans, strict=True)
    )
    return replace(seen, spans=tuple(spans))


def gather(at: At, seen: Seen) -> Seen:
    only_first(at)
    axis = _along(at, seen, [at.get("axis", 0)])[0]
    more = len(at.after()) - len(at.before())
    return replace(seen, axes=tuple(a + more if a > axis else a for a in seen.axes))


def transpose(at: At, seen: Seen) -> Seen:
    rank = len(at.before())
    order = list(at.get("perm", range(rank)[::-1]))
    axes = tuple(order.index(axis) for axis in seen.axes)
    if list(axes) != sorted(axes):
        raise unbounded(at.node, "exchanges rows and columns")
    return replace(seen, axes=axes)


def expand(at: At, seen: Seen) -> Seen:
    before, after = at.before(), at.after()
    more = len(after) - len(before)
    axes = tuple(axis + more for axis in seen.axes)
    if any(before[a] != after[b] for a, b in zip(seen.axes, axes, strict=True)):
        raise unbounded(at.node, "repeats the image")
    return replace(seen, axes=axes)


def reshape(at: At, seen: Seen) -> Seen:
    """An axis of the image may be cut into pieces, which go to the channels, or be put together.

    So a pixel shuffle is written as Reshape, Transpose, Reshape; Squeeze, Unsqueeze and Flatten.
    """
    before, after = at.before(), at.after()
    axes, spans = [], []
    for olds, news in _groups(before, after):
        inside = [k for k, axis in enumerate(seen.axes) if axis in olds]
        if not inside:
            continue
        sides = [before[axis] for axis in olds]
        lead = seen.axes[inside[0]]
        if len(inside) > 1 or lead != olds[0] or not news:
            raise unbounded(at.node, "mixes an image axis with others")
        span, fine = seen.spans[inside[0]], math.prod(sides[1:])
        if fine > 1 and len(news) > 1:
            raise unbounded(at.node, "mixes an image axis with others")
        r = math.prod(after[axis] for axis in news[1:])
        axes.append(news[0])
        spans.append(joined(span, fine) if fine > 1 else span.window(r, 0, r - 1))
    if len(axes) != len(seen.axes):
        raise unbounded(at.node, "drops an image axis")
    return replace(seen, axes=tuple(axes), spans=tuple(spans))


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest groups of neighbouring axes with as many elements before as after.

    Axes of side 1 stand for themselves.
    """
    groups: list[tuple[list[int], list[int]]] = []
    i, j = 0, 0
    while i < len(before) or j < len(after):
        if i < len(before) and before[i] == 1:
            groups.append(([i], []))
            i += 1
            continue
        if j < len(after) and after[j] == 1:
            j += 1
            continue
        olds, news, p, q = [i], [j], before[i], after[j]
        i, j = i + 1, j + 1
        while p != q:
            if p < q:
                p, olds, i = p * before[i], [*olds, i], i + 1
            else:
                q, news, j = q * after[j], [*news, j], j + 1
        groups.append((olds, news))
    return groups


def matrix(at: At, seen: Seen) -> Seen:
    """A product with a constant matrix, of the last axis."""
    other = at.folded.constant(at.node.input[1]) if set(at.seen) == {0} else None
    if other is None or other.ndim != 2 or len(at.before()) - 1 in seen.axes:
        raise unbounded(at.node, "mixes pixels by a product of matrices")
    return seen


def same(at: At, seen: Seen) -> Seen:
    only_first(at)
    return seen
