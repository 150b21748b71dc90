"""The table of `python tests/programs/mutations.py` fits the code: each guard is there once, and so are its tests."""

import pytest
from command import ROOT
from mutations import MUTATIONS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_a_guard_is_in_its_file_once(mutation):
    assert (ROOT / mutation.file).read_text().count(mutation.text) == 1
    assert all((ROOT / name).exists() for name in mutation.tests if name.startswith("tests/"))
