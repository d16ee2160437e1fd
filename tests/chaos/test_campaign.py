"""A campaign keeps its lanes busy to the end."""

from __future__ import annotations

import pytest

from .campaign import BATCH, size_of_batch


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_batches_are_full_as_long_as_there_is_much_to_do_and_small_at_the_end(lanes: int) -> None:
    ahead, sizes = 100, []
    while ahead:
        sizes.append(size_of_batch(ahead, lanes))
        ahead -= sizes[-1]

    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (BATCH, 1)
    assert all(0 < size <= BATCH for size in sizes)
