"""The three sets: sizes as shares or numbers, and every class in its share."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vae.config import Binarisation
from vae.data.files import DataError
from vae.data.splits import SEED, ImageArrays, random_splits, shared_out, split_indices

laws = settings(max_examples=200, deadline=None)
shares = st.floats(0, 0.45)
classes = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@laws
@given(st.integers(3, 3_000), st.one_of(shares, st.integers(0, 40)), st.one_of(shares, st.integers(1, 40)))
def test_the_sets_are_disjoint_and_complete_and_have_the_sizes_that_were_asked_for(count, validation, test):
    asked = [round(size) if size >= 1 or size == 0 else max(1, round(size * count)) for size in (validation, test)]
    assume(sum(asked) < count)
    parts = split_indices(count, None, validation, test)
    assert [len(part) for part in parts] == [count - sum(asked), *asked]
    assert sorted(np.concatenate(parts)) == list(range(count))
    assert all((np.diff(part) > 0).all() for part in parts)


@laws
@given(classes, shares, st.floats(0.01, 0.45), st.integers(0, 2**32 - 1))
def test_every_class_has_its_share_of_every_set(counts, validation, test, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)) * 3, counts))
    try:
        parts = split_indices(len(labels), labels, validation, test)
    except DataError:
        assume(False)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert [len(part) for part in parts] == [len(p) for p in split_indices(len(labels), None, validation, test)]
    rest = len(parts[0])
    found = [np.array([(labels[part] == 3 * k).sum() for k in range(len(counts))]) for part in parts]
    if rest >= len(counts):
        assert found[0].min() >= 1
    quota = rest * np.array(counts) / len(labels)
    if quota.min() >= 1:
        assert (abs(found[0] - quota) < 1).all()
        left = np.array(counts) - found[0]
        assert (abs(found[2] - len(parts[2]) * left / max(1, left.sum())) < 1).all()


@laws
@given(classes, st.floats(0, 1))
def test_seats_are_shared_out_by_the_largest_remainder(counts, share):
    counts = np.array(counts)
    seats = round(share * counts.sum())
    given_ = shared_out(seats, counts)
    quota = seats * counts / counts.sum()
    assert given_.sum() == seats
    assert (given_ <= counts).all()
    assert (given_ >= np.floor(quota)).all()
    up = given_ > np.floor(quota)
    assert not up.any() or up.all() or (quota % 1)[up].min() >= (quota % 1)[~up].max() - 1e-9


def test_whole_numbers_without_labels_give_the_split_of_always():
    order = np.random.default_rng(SEED).permutation(50)
    expected = [np.sort(part) for part in (order[:38], order[38:45], order[45:])]
    for ours, always in zip(split_indices(50, None, 7, 5), expected, strict=True):
        assert (ours == always).all()
    one_class = split_indices(50, np.zeros(50, dtype=np.int64), 7, 5)
    assert all((ours == always).all() for ours, always in zip(one_class, expected, strict=True))


def test_40_pictures_have_4_to_validate_and_4_to_test_unless_there_are_too_few():
    assert [len(part) for part in split_indices(40, None, 0.1, 0.1)] == [32, 4, 4]
    assert [len(part) for part in split_indices(3, None, 0.1, 0.1)] == [1, 1, 1]
    for count in (1, 2):
        with pytest.raises(
            DataError, match=rf"must be below {count}, the number of images, got 1 \+ 1\. .*more images"
        ):
            split_indices(count, None, 0.1, 0.1)


def test_labels_names_and_files_go_with_their_images():
    images = np.arange(20, dtype=np.uint8).repeat(4).reshape(20, 1, 2, 2)
    labels = np.arange(20) % 2
    names = tuple(f"{k:02d}.png" for k in range(20))
    splits = random_splits(ImageArrays(images, None, labels, ("a", "b"), names), 0.2, 0.2, Binarisation.none)
    assert splits.label_names == ("a", "b")
    assert [len(part) for part in splits.sets] == [12, 4, 4]
    for part in splits.sets:
        numbers = part.pixels[:, 0, 0, 0].tolist()
        assert part.labels.tolist() == [k % 2 for k in numbers]
        assert part.names == tuple(f"{k:02d}.png" for k in numbers)
        assert part.labels.bincount().unique().numel() == 1
