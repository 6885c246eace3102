"""Asking the processor for bytes ahead changes nothing and may ask for any address."""

from __future__ import annotations

import numpy as np
import pytest

from assay.storage.compiling import njit, prefetch


@njit()
def total(values, places, address):  # type: ignore[no-untyped-def]
    found = 0.0
    for place in places:
        prefetch(address)
        found += values[place]
    return found


@pytest.mark.parametrize("address", [0, 1, -1, 2**62])
def test_any_address_may_be_asked_for(address: int) -> None:
    values = np.arange(10.0)
    assert total(values, np.array([3, 4, 9]), address) == 16.0


def test_it_is_the_processors_own_instruction() -> None:
    total(np.ones(1), np.zeros(1, int), 0)
    (code,) = total.inspect_llvm().values()
    assert "@llvm.prefetch" in code
