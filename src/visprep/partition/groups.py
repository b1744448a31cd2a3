"""Groups of records: those that share a value, or that a pair ties together, directly or by way of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visprep.partition.population import Groups, Ints


def join(keys: Sequence[str], pairs: Ints, values: Sequence[str | None] = ()) -> Groups:
    """The smallest groups that no pair of records (a table of two columns) and no value straddles.

    `values` has one for each record, None for one that stands alone, or is empty. A group's key is its smallest value,
    where it has one, else the smallest key of its records; groups are numbered in the order of their first records.
    """
    count = len(keys)
    edges = [np.asarray(pairs, np.int64).reshape(-1, 2)]
    if values:
        first: dict[str, int] = {}
        same = [(first.setdefault(value, at), at) for at, value in enumerate(values) if value is not None]
        edges.append(np.array(same, np.int64).reshape(-1, 2))
    roots = _components(count, np.concatenate(edges))
    numbers = np.cumsum(roots == np.arange(count))[roots] - 1 if count else roots
    names: list[str | None] = [None] * (int(numbers.max()) + 1 if count else 0)
    for source in (values, keys):
        found: dict[int, str] = {}
        for number, name in zip(numbers.tolist(), source, strict=False):
            if name is not None and names[number] is None and (number not in found or name < found[number]):
                found[number] = name
        for number, name in found.items():
            names[number] = name
    return Groups(numbers.astype(np.int64), tuple(name for name in names if name is not None))


def _components(count: int, edges: Ints) -> Ints:
    """Of each node the smallest that it hangs together with.

    Each round hooks the roots of an edge's ends to the smaller of both, and then every node to its root: the number of
    rounds grows with the logarithm of the longest chain.
    """
    parents = np.arange(count, dtype=np.int64)
    while len(edges):
        ends = parents[edges]
        low, high = ends.min(axis=1), ends.max(axis=1)
        edges = np.column_stack([low, high])[low != high]
        np.minimum.at(parents, edges[:, 1], edges[:, 0])
        while (parents != (above := parents[parents])).any():
            parents = above
    return parents
