"""What the schedulers make of weights, beside the kernel's own loops written down as they are."""

import pytest
from ansible.module_utils.lvs.schedulers import sh_slots


def filled_by_the_kernel(weights, slots):
    """ip_vs_sh_reassign: each slot in turn, the real server added last first, as many for each as its weight."""
    found, order = [0] * len(weights), list(reversed(range(len(weights))))
    place = count = 0
    for _ in range(slots if weights else 0):
        found[order[place]] += 1
        count += 1
        if count >= weights[order[place]]:
            place, count = (place + 1) % len(order), 0
    return found


@pytest.mark.parametrize(
    ("weights", "slots"),
    [([1, 1, 1], 256), ([100, 100, 100], 256), ([3, 1], 256), ([0, 2], 256), ([300, 1], 256), ([1, 300], 256), ([7], 8), ([], 256)],
)  # fmt: skip
def test_sh_fills_its_table_as_the_kernel_does(weights, slots):
    assert sh_slots(weights, slots) == filled_by_the_kernel(weights, slots)
    assert sum(sh_slots(weights, slots)) == (slots if weights else 0)


def test_the_table_of_sh_has_256_slots():
    assert sum(sh_slots([1])) == 256
