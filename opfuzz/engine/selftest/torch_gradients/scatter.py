"""Faults of gradients that are added up at the places that an index names."""

from __future__ import annotations

import torch
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import wide
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, planted

NN = "torch.nn.functional."
OVERWRITTEN = "overwritten"


def embedding_overwritten(way: WayBack) -> Gradients:
    """A row that is named again is written again, and not added to."""
    index, table = way.tensors
    made = torch.zeros_like(table)
    flat, g = index.flatten(), way.g.reshape(-1, table.shape[1])
    for place in range(len(flat)):  # in order: the last one stays
        made[flat[place]] = g[place]
    return [None, made]


def embedding_by_another_count(way: WayBack) -> Gradients:
    """Each row is divided by how often the first index occurs."""
    index, _ = way.tensors
    own = way.right()[1]
    assert own is not None
    flat = index.flatten()
    return [None, own / (flat == flat[:1]).sum().clamp_min(1)]


def bag_by_another_count(way: WayBack) -> Gradients:
    """Each element of a bag is divided by how often its own index occurs there, beside the mean (pytorch #190063)."""
    index, table = way.tensors
    g, made = wide(way.g), torch.zeros_like(wide(table))
    for row in range(index.shape[0]):
        count = (index[row][:, None] == index[row][None, :]).sum(dim=1)
        for place, source in enumerate(index[row]):
            made[source] += g[row] / index.shape[1] / count[place]
    return [None, made]


def gather_overwritten(way: WayBack) -> Gradients:
    """The last of equal indices stays."""
    x, index = way.tensors
    made = torch.zeros_like(x)
    for place in range(index.shape[1]):
        made.scatter_(1, index[:, place : place + 1], way.g[:, place : place + 1])
    return [made, None]


def scatter_add_first_row(way: WayBack) -> Gradients:
    """The index of the first row is used for all."""
    _, index, _ = way.tensors
    same = index[:1].expand(index.shape)
    return [way.g, None, torch.gather(way.g, 1, same)]


def embedding_half_way(way: WayBack) -> Gradients:
    """Rows of the table beyond 32 are not written."""
    own = way.right()[1]
    assert own is not None
    made = own.clone()
    made[32:] = 0
    return [None, made]


def gather_one_short(way: WayBack) -> Gradients:
    """The last of the places that name something is left out."""
    x, index = way.tensors
    made = torch.zeros_like(wide(x))
    return [made.scatter_add(1, index[:, :-1], wide(way.g)[:, :-1]), None]


MUTANTS = [
    Mutant(
        "embedding-row-overwritten",
        "embedding.grad",
        {NN + "embedding": planted(functional.embedding, embedding_overwritten)},
        cause=OVERWRITTEN,
    ),
    Mutant(
        "embedding-by-another-count",
        "embedding.grad",
        {NN + "embedding": planted(functional.embedding, embedding_by_another_count)},
        cause="by one factor|count",
    ),
    Mutant(
        "embedding-bag-by-own-count",
        "embedding_bag.grad",
        {NN + "embedding_bag": planted(functional.embedding_bag, bag_by_another_count)},
        cause="by one factor|count",
    ),
    Mutant(
        "gather-overwritten",
        "gather.grad",
        {"torch.gather": planted(torch.gather, gather_overwritten)},
        cause=OVERWRITTEN,
    ),
    Mutant(
        "scatter-add-index-of-first-row",
        "scatter_add.grad",
        {"torch.scatter_add": planted(torch.scatter_add, scatter_add_first_row)},
        cause="index were",
        condition="batch >= 2",
    ),
    Mutant(
        "embedding-32-rows",
        "embedding.grad",
        {NN + "embedding": planted(functional.embedding, embedding_half_way)},
        cause="only where|at index|from index|at the last index",
        condition="vocab >= 33",
    ),
    Mutant(
        "gather-last-place-lost",
        "gather.grad",
        {"torch.gather": planted(torch.gather, gather_one_short)},
        cause="at the last place",
    ),
]
