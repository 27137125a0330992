from hypothesis import given
from hypothesis import strategies as st

from pgknowbase.vectorizer.chunking import plan_chunks

texts = st.lists(st.sampled_from("abcde"), max_size=8)


@given(wanted=texts, stored=st.dictionaries(st.integers(0, 9), st.sampled_from("abcde"), max_size=8))
def test_plan_gives_the_wanted_texts_and_embeds_as_few_as_can_be(wanted, stored):
    plan = plan_chunks(wanted, stored)
    result = {kept.new: stored[kept.old] for kept in plan.kept} | dict(plan.missing)
    assert [result[place] for place in range(len(wanted))] == wanted
    assert len(result) == len(plan.kept) + len(plan.missing) == len(wanted)
    assert len({kept.old for kept in plan.kept}) == len(plan.kept)
    most = sum(min(wanted.count(text), list(stored.values()).count(text)) for text in set(wanted))
    assert len(plan.kept) == most
