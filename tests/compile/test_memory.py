"""Memory of temporaries: what lives at the same time never overlaps, and little is wasted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mnn.codegen.kernel import CONSTANT, INPUT, Buffer
from mnn.codegen.room import ALIGNMENT, round_up
from mnn.compile.memory import Lifetime, lifetimes, place


@st.composite
def lives(draw):
    first = draw(st.integers(0, 20))
    return Lifetime(draw(st.integers(0, 3000)), first, first + draw(st.integers(0, 8)))


@given(st.lists(lives(), max_size=40))
def test_live_temporaries_never_overlap(given_lives):
    offsets, peak = place(given_lives)
    for number, (life, offset) in enumerate(zip(given_lives, offsets, strict=True)):
        assert offset % ALIGNMENT == 0
        assert offset + life.size <= peak or life.size == 0
        for other, begin in zip(given_lives[:number], offsets, strict=False):
            together = life.first <= other.last and other.first <= life.last
            apart = offset + life.size <= begin or begin + other.size <= offset
            assert apart or not together or not (life.size and other.size)


@given(st.lists(lives(), max_size=40))
def test_memory_stays_between_what_is_alive_and_the_sum(given_lives):
    _, peak = place(given_lives)
    sizes = [round_up(each.size) for each in given_lives]
    assert peak <= sum(sizes)
    for step in range(30):
        alive = [
            size
            for size, each in zip(sizes, given_lives, strict=True)
            if each.first <= step <= each.last
        ]
        assert peak >= sum(alive)


def test_a_chain_needs_two_buffers():
    chain = [Lifetime(1000, step, step + 1) for step in range(50)]
    assert place(chain)[1] == 2 * 1024


def test_the_smallest_gap_that_fits_is_taken():
    # At step 2 two gaps are free: one of 1024 bytes and one of 704.
    blocks = [
        Lifetime(4096, 0, 5),
        Lifetime(1024, 0, 1),
        Lifetime(1000, 0, 5),
        Lifetime(700, 0, 1),
        Lifetime(690, 0, 5),
        Lifetime(600, 2, 3),
    ]
    offsets, peak = place(blocks)
    assert peak == place(blocks[:-1])[1]
    assert offsets[-1] == offsets[3]


def test_nothing_needs_nothing():
    assert place([]) == ([], 0)
    assert place([Lifetime(0, 0, 3)]) == ([0], 0)


def test_lives_reach_from_the_first_to_the_last_step_that_names_a_buffer():
    a, b = Buffer(10), Buffer(20)
    others = [Buffer(8, INPUT), Buffer(8, CONSTANT)]
    found = lifetimes([[a, *others], [b], [], [a, b], [b, *others]])
    assert found == {a: Lifetime(10, 0, 3), b: Lifetime(20, 1, 4)}
