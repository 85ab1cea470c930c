"""The mark of a data plane: one text form, read strictly, and what somebody else's mark means to a writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.core.model.mark import MARK_CHARACTERS_MAX, MarkClaim, Origin, PlaneMark, claim_of, is_of, read_mark

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)
NUMBERS = st.integers(0, 10**18 - 1)
MARKS = st.builds(
    PlaneMark, generation=NUMBERS, term=NUMBERS, origin=st.builds(Origin, cluster=NAMES, node=NAMES)
) | st.builds(PlaneMark, generation=NUMBERS)
OURS = Origin(cluster="shop", node="node-a")


def mark(generation: int, term: int = 3, cluster: str = "shop", node: str = "node-a") -> PlaneMark:
    return PlaneMark(generation=generation, term=term, origin=Origin(cluster=cluster, node=node))


def test_the_text_form_is_pinned() -> None:
    """Planes keep it over upgrades: another form needs another version in front."""
    assert mark(17).text() == "v1:cluster=shop:term=3:generation=17:node=node-a"
    assert PlaneMark(generation=17).text() == "17"


@given(MARKS)
def test_every_mark_is_read_as_it_was_written(written: PlaneMark) -> None:
    text = written.text()
    assert read_mark(text) == written
    assert len(text) <= MARK_CHARACTERS_MAX
    assert not set(text) & set(" \t\"';,()[]{}\\#%<>\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        " 7",
        "7 ",
        "7\n",
        "07",
        "1_0",
        "٣",
        "1e3",
        "9" * 19,
        "v1:cluster=shop:term=3:generation=17",
        "v1:cluster=shop:term=3:generation=17:node=",
        "v1:cluster=shop:term=3:generation=017:node=a",
        "v1:cluster=shop:term=-3:generation=17:node=a",
        "v1:cluster=Shop:term=3:generation=17:node=a",
        "v1:cluster=shop:term=3:generation=17:node=a:more=1",
        "v1:cluster=shop:term=3:generation=17:node=a\n",
        "v1:cluster=shop:generation=17:term=3:node=a",
        "v2:cluster=shop:term=3:generation=17:node=a",
        "gen=7 term=2 digest=0123456789abcdef",
        f"v1:cluster={'c' * 64}:term=3:generation=17:node=a",
    ],
)
def test_what_is_no_mark_is_nobodys(text: str) -> None:
    assert read_mark(text) is None


@pytest.mark.parametrize("name", ["", "Shop", "a b", "a:b", "-a", "a" * 64, "상태"])
def test_a_name_that_cannot_be_read_back_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a mark"):
        Origin(cluster=name, node="a")
    with pytest.raises(ValueError, match="cannot stand in a mark"):
        Origin(cluster="a", node=name)


def test_numbers_that_cannot_be_read_back_are_refused() -> None:
    for generation in (-1, 10**18):
        with pytest.raises(ValueError, match="cannot stand in a mark"):
            PlaneMark(generation=generation)
    with pytest.raises(ValueError, match="both"):
        PlaneMark(generation=1, term=1)


@pytest.mark.parametrize(
    ("found", "claim"),
    [
        (None, MarkClaim.FREE),
        (PlaneMark(generation=7), MarkClaim.FREE),
        (PlaneMark(generation=8), MarkClaim.NEWER),
        (mark(7), MarkClaim.FREE),
        (mark(6), MarkClaim.FREE),
        (mark(8), MarkClaim.NEWER),
        (mark(7, term=4), MarkClaim.NEWER),
        (mark(8, term=2), MarkClaim.NEWER),
        (mark(6, term=2, node="node-b"), MarkClaim.FREE),
        (mark(8, term=2, node="node-b"), MarkClaim.NEWER),
        (mark(6, term=4, node="node-b"), MarkClaim.NEWER),
        (mark(6, node="node-b"), MarkClaim.FOREIGN),
        (mark(9, node="node-b"), MarkClaim.FOREIGN),
        (mark(1, term=1, cluster="other"), MarkClaim.FOREIGN),
        (mark(9, term=9, cluster="other"), MarkClaim.FOREIGN),
    ],
)
def test_what_a_mark_means_to_generation_7_of_term_3(found: PlaneMark | None, claim: MarkClaim) -> None:
    assert claim_of(found, mark(7)) is claim


def test_a_generation_counts_as_ours_when_we_or_nobody_signed_it() -> None:
    assert is_of(None, OURS)
    assert is_of(PlaneMark(generation=3), OURS)
    assert is_of(mark(3, term=9), OURS)
    assert not is_of(mark(3, node="node-b"), OURS)
    assert not is_of(mark(3, cluster="other"), OURS)


def test_a_mark_reads_like_a_sentence() -> None:
    assert str(mark(17)) == "generation 17 of term 3 by node node-a of cluster shop"
    assert str(PlaneMark(generation=17)) == "generation 17"
