"""The table of guards that `python tests/mutations.py` takes away one by one is that of the code as it is."""

import pytest
from command import ROOT
from mutations import MUTATIONS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_a_guard_stands_where_the_table_says(mutation):
    assert (ROOT / mutation.file).read_text().count(mutation.text) == 1
    assert all((ROOT / name).exists() for name in mutation.tests if name.startswith("tests/"))
