"""The user's own tables: what is read, what is refused, and the way to x and back."""

import csv

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae.config import TableConfig
from vae.config.preparation import TablePreparation, plain_preparation, preparation_of
from vae.data.files import DataError
from vae.data.own_table import TableData
from vae.data.preparation import restored, standardised
from vae.data.rows import Rows, label_in, open_table, rows_of_array

GOOD = "age,mass,site\n1,10.5,a\n2,20,b\n3,-3e1,a\n4,.5,b\n5,7,a\n6,0,b\n"


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path, label=None, drop=(), sizes=(1, 2)):
    return TableData(TableConfig(str(path), label, list(drop), *sizes)).read()


def values_of(path, *columns, size=1_000):
    table = open_table(path)
    parts = list(table.rows(columns or table.names, None, size, []))
    return np.concatenate([part.values for part in parts])


def refusal(text, tmp_path, match, **options):
    path = written(tmp_path / "t.csv", text)
    with pytest.raises(DataError, match=match) as caught:
        read(path, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# Laws


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.floats(-1e9, 1e9), min_size=columns, max_size=columns), min_size=3, max_size=8
        )
    )
)
def test_standardised_rows_go_back_to_their_own_units(rows):
    values = np.array(rows)
    deviation = np.maximum(values.std(0), 1.0)
    names = tuple(f"c{k}" for k in range(values.shape[1]))
    preparation = TablePreparation(names, tuple(values.mean(0).tolist()), tuple(deviation.tolist()), None)
    x = standardised(values, preparation)
    assert x.shape == (len(rows), 1, 1, len(names))
    assert x.dtype == torch.float32
    back = restored(x, preparation).numpy()
    assert np.all(np.abs(back - values) <= 1e-5 * deviation)


def test_training_rows_have_mean_zero_and_deviation_one_in_every_column(tmp_path):
    values = np.random.default_rng(0).normal([5.0, -3e6, 1e-9], [2.0, 10.0, 1e-12], (200, 3))
    np.savez(tmp_path / "t.npz", table=values, columns=["a", "b", "c"])
    splits = read(tmp_path / "t.npz", sizes=(20, 30))
    x = splits.train.batch(torch.arange(150), torch.Generator()).flatten(1).double()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (150, 20, 30)
    torch.testing.assert_close(x.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(x.std(0, unbiased=False), torch.ones(3).double(), rtol=0, atol=1e-6)
    assert splits.preparation.columns == ("a", "b", "c")
    whole = [restored(getattr(splits, part).pixels, splits.preparation) for part in ("train", "validation", "test")]
    back = np.sort(torch.cat(whole).numpy(), axis=0)
    assert np.all(np.abs(back - np.sort(values, axis=0)) < 1e-6 * values.std(0))


def test_a_preparation_survives_plain_data():
    preparation = TablePreparation(("a", "b c"), (0.1, -1e9), (1e-7, 2.0), "site")
    assert preparation_of(plain_preparation(preparation)) == preparation


# What is read


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\n\n" + GOOD.replace("\n", "\n\n"),
        GOOD + ",,\n",
        GOOD.replace("age,mass", ' age ,"mass"').replace("20", ' "20"'.strip()),
        GOOD.replace("10.5", " 10.5 ").rstrip("\n"),
        GOOD.replace("10.5", "\u00a010.5"),
    ],
)
def test_the_same_table_is_read_however_it_is_written(tmp_path, text):
    path = written(tmp_path / "t.csv", text)
    expected = [[1, 10.5], [2, 20], [3, -30], [4, 0.5], [5, 7], [6, 0]]
    assert values_of(path, "age", "mass").tolist() == expected
    assert values_of(path, "mass", "age", size=4)[:, ::-1].tolist() == expected
    assert open_table(path).count() == 6


def test_numbers_are_read_as_float64_whatever_their_number(tmp_path):
    values = np.random.default_rng(1).normal(size=(57, 3)) * 10.0 ** np.random.default_rng(2).integers(
        -20, 20, (57, 3)
    )
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "c"], *values.tolist()])
    assert np.array_equal(values_of(tmp_path / "t.csv", size=10), values)


@pytest.mark.parametrize("kind", ["npz", "npy"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
def test_arrays_of_any_numbers_are_tables(tmp_path, kind, dtype):
    table = (np.arange(12).reshape(6, 2) % 5).astype(dtype)
    path = tmp_path / f"t.{kind}"
    if kind == "npz":
        np.savez(path, table=table, columns=np.array(["a", "b"]))
    else:
        np.save(path, table)
    assert open_table(path).names == (("a", "b") if kind == "npz" else ("column_0", "column_1"))
    assert np.array_equal(values_of(path, size=4), table.astype(float))


@pytest.mark.parametrize(
    ("column", "names"),
    [("site", ("a", "b")), ("grade", ("2", "9", "10"))],
)
def test_a_label_is_numbered_and_is_no_part_of_x(tmp_path, column, names):
    rows = "".join(f"{k},{k * k},{'ab'[k % 2]},{(10, 9, 2)[k % 3]}\n" for k in range(12))
    path = written(tmp_path / "t.csv", "x,y,site,grade\n" + rows)
    splits = read(path, label=column, drop=({"site", "grade"} - {column}), sizes=(0, 3))
    assert splits.preparation.columns == ("x", "y")
    assert splits.preparation.label == column
    assert splits.label_names == names
    rows_back = restored(splits.train.pixels, splits.preparation)[:, 0].round().int().tolist()
    expected = ["ab"[k % 2] if column == "site" else str((10, 9, 2)[k % 3]) for k in rows_back]
    assert [names[label] for label in splits.train.labels.tolist()] == expected


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_labels_that_differ_in_their_last_digit_are_different(tmp_path, dtype):
    labels = (2**53 if dtype is np.int64 else 0.1) + np.arange(12) % 3 * (1 if dtype is np.int64 else 1e-16)
    np.savez(tmp_path / "t.npz", table=np.column_stack([np.arange(12), labels]).astype(dtype), columns=["x", "label"])
    assert len(read(tmp_path / "t.npz", label="label").label_names) == len(set(labels.tolist())) == 3


def test_labels_of_one_number_in_several_writings_keep_one_order(tmp_path):
    path = written(
        tmp_path / "t.csv",
        "x,label\n" + "".join(f"{k},{word}\n" for k, word in enumerate(["1.0", "1", "01", "1e0", "0.5"] * 2)),
    )
    assert read(path, label="label").label_names == ("0.5", "01", "1", "1.0", "1e0")


def test_without_a_label_all_labels_are_zero(tmp_path):
    splits = read(written(tmp_path / "t.csv", GOOD), drop=["site"])
    assert splits.train.labels.unique().tolist() == [0]
    assert splits.label_names is None


def test_the_checksum_is_of_the_file_whatever_its_folder(tmp_path):
    (tmp_path / "other").mkdir()
    texts = {"a.csv": GOOD, "other/a.csv": GOOD, "b.csv": GOOD.replace("20", "21")}
    paths = [written(tmp_path / name, text) for name, text in texts.items()]
    first, moved, changed = (TableData(TableConfig(str(path), None, [], 0, 1)).checksums() for path in paths)
    assert first == moved
    assert list(first) == ["a.csv"]
    assert [*first.values()] != [*changed.values()]


# What is refused


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "have a number in every row, line 4 has none. Fill it in, or remove the row, or leave columns out with "),
        ("NA", "have a number in every row, line 4 has NA"),
        ("nan", "have a number in every row, line 4 has nan"),
        ("-inf", "have a number in every row, line 4 has -inf"),
        ("?", r"have a number in every row, line 4 has \?"),
        (
            "heavy",
            r"hold numbers, line 4 has heavy\. Write numbers, or leave columns out with data\.drop=\[site,mass\]",
        ),
        ("12kg", "hold numbers, line 4 has 12kg"),
        ("1_000", "hold numbers, line 4 has 1_000"),
        ("0x10", "hold numbers, line 4 has 0x10"),
        ("٣", "hold numbers, line 4 has ٣"),
        ("1e999", "hold numbers, line 4 has 1e999"),
        ('"1,5"', r"have no commas in numbers, line 4 has 1,5\. Write decimal points"),
        ('"1,000,000"', "have no commas in numbers, line 4 has 1,000,000"),
        ("x" * 5_000, "hold numbers, line 4 has x{60}…"),
    ],
)
def test_a_cell_that_is_no_number_is_refused_by_column_and_line(tmp_path, cell, said):
    text = GOOD.replace("-3e1", cell)
    refusal(text, tmp_path, rf"t\.csv: the column mass must {said}", drop=["site"])


@pytest.mark.parametrize(
    ("text", "drop", "line"),
    [
        (GOOD.replace("3,-3e1,a", ",,"), ["site"], 4),
        ('age\n1\n2\n""\n4\n5\n6\n', [], 4),
        (GOOD + ",,\n7,1,a\n", ["site"], 8),
    ],
)
def test_a_row_without_values_is_refused_and_not_left_out(tmp_path, text, drop, line):
    refusal(text, tmp_path, f"the column age must have a number in every row, line {line} has none", drop=drop)


def test_all_columns_of_words_are_named_in_a_fix_that_works(tmp_path):
    text = "a,b,the name,c,Größe\n1,u,x,1,k\n2,v,y,3,l\n3,u,z,2,k\n4,w,q,0,m\n"
    said = refusal(text, tmp_path, r"the column b must hold numbers, line 2 has u\.")
    assert said.endswith("""leave columns out with "data.drop=[b,'the name','Größe']\"""")
    assert read(tmp_path / "t.csv", drop=["b", "the name", "Größe"], sizes=(0, 1)).preparation.columns == ("a", "c")


def test_constant_columns_are_refused_by_name_with_the_fix(tmp_path):
    text = "a,b,c\n" + "".join(f"{k},0.1,7\n" for k in range(9))
    refusal(text, tmp_path, r"the column b must vary, all 6 rows for training have 0\.1\..*data\.drop=\[b,c\]")


def test_a_column_that_is_constant_among_the_training_rows_is_refused(tmp_path):
    np.save(tmp_path / "t.npy", np.stack([np.arange(50.0), np.zeros(50)], 1))
    table = np.load(tmp_path / "t.npy")
    splits = read(tmp_path / "t.npy", sizes=(0, 5), drop=["column_1"])
    kept = restored(splits.test.pixels, splits.preparation)[:, 0].round().int()
    table[kept, 1] = 1.0  # varies among the test rows only
    np.save(tmp_path / "t.npy", table)
    with pytest.raises(DataError, match="column_1 must vary, all 45 rows for training have 0"):
        read(tmp_path / "t.npy", sizes=(0, 5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the names of its columns in the first line, it is empty"),
        ("\n \n", "the names of its columns in the first line, it is empty"),
        ("1,2\n3,4\n", "begin with the names of its columns, its first line has 1, 2. Add them"),
        ("a,b\n", "have rows below the names of its columns, it has none"),
        ("a,b,a\n1,2,3\n", "have a different name for every column, two are named a. Rename"),
        (",a,b\n0,1,2\n", "one has none. Rename or remove it; .*index=False"),
        ("a;b,c\n1;2\n", "one separator between the names of its columns, its first line has commas and semicolons"),
        ("x" * 300 + ",b\n1,2\n", "names of at most 200 letters for its columns, x{60}… has 300. Shorten"),
        ("a,b\n1,2\n1,2,3\n", "as many values in every line as there are columns, 2, line 3 has 3: 1,2,3"),
        ("a,b\n1,2\n3\n", "as many values in every line as there are columns, 2, line 3 has 1: 3"),
        ('a,b\n1,2\n"3,4\n', "be a table in CSV: .*Close every quote"),
        ("a,b\n1,2\n".encode("utf-16"), "be a table in CSV, in UTF-8"),
        ("größe,b\n1,2\n".encode("latin-1"), "be a table in CSV, in UTF-8"),
        (b"\x1f\x8b\x08\x00\x00", "be a table in CSV, in UTF-8"),
        (b"PK\x03\x04broken", "be a CSV, an .npy, or an .npz of plain arrays"),
        (b"\x93NUMPY\x01\x00", "be an .npy of a plain array"),
        ("a;b\n1,5;2\n", None),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path, text, said):
    refusal(
        text,
        tmp_path,
        rf"t\.csv must .*{said}" if said else r"column a must have no commas in numbers, line 2 has 1,5",
    )


def test_words_in_the_middle_of_a_large_table_are_found(tmp_path):
    text = "a,b\n" + "".join(f"{k},{k}\n" for k in range(25_000)).replace("\n17000,17000\n", "\n17000,oops\n")
    refusal(text, tmp_path, "the column b must hold numbers, line 17002 has oops")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"rows": np.zeros((3, 2))}, "must hold an array `table`, it holds rows"),
        ({"table": np.zeros(3)}, r"a table must be numbers of shape \(rows, columns\), got float64 \(3,\)"),
        ({"table": np.array([["a", "b"]])}, "a table must be numbers .* got <U1"),
        ({"table": np.zeros((3, 2)), "columns": ["a"]}, "columns must be the 2 names of the columns, got 1"),
        ({"table": np.zeros((3, 2)), "columns": [1, 2]}, "columns must be text, got int64"),
        (
            {"table": np.array([[1.0, np.nan], [2, 3]])},
            "the column column_1 must have a number in every row, row 0 has nan",
        ),
    ],
)
def test_arrays_that_are_no_table_are_refused_in_one_line(tmp_path, arrays, said):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "t.npz")


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(DataError, match=r"be an \.npy of a plain array"):
        read(tmp_path / "t.npy")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"drop": ["sight"]}, r"data\.drop must name columns of .*t\.csv, got sight\. It has age, mass, site"),
        ({"label": "sight"}, r"data\.label must name columns of .*t\.csv, got sight"),
        ({"label": "site", "sizes": (3, 2)}, "must have 2 rows or more for training, got 1"),
        ({"drop": ["age", "mass"], "label": "site"}, "must have a column besides data.label and data.drop"),
    ],
)
def test_choices_that_leave_too_little_are_refused_in_one_line(tmp_path, options, said):
    refusal(GOOD, tmp_path, said, **options)


def test_a_label_with_a_missing_value_or_too_many_values_is_refused(tmp_path):
    refusal(
        GOOD.replace("20,b", "20,NA"),
        tmp_path,
        "data.label, must have a value in every row, row 1 has NA",
        label="site",
    )
    many = "x,id\n" + "".join(f"{k % 7},n{k}\n" for k in range(1_001))
    refusal(many, tmp_path, "must have at most 1000 different values, got 1001", label="id")


def test_a_table_with_more_columns_than_a_run_can_store_is_refused(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros((3, 50_001), dtype=np.uint8))
    with pytest.raises(DataError, match="must have at most 50000 columns to model, got 50001"):
        read(tmp_path / "t.npy")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv is missing"):
        read(tmp_path / "none.csv")


# New rows for a trained model

PREPARATION = TablePreparation(("mass", "age"), (0.0, 0.0), (1.0, 1.0), "site")


def rows_for_model(table, preparation) -> list[Rows]:
    return list(table.rows(preparation.columns, label_in(table, preparation), 10, None))


def test_new_rows_are_found_by_the_names_of_their_columns_in_the_order_of_the_model(tmp_path, caplog):
    caplog.set_level("INFO")
    text = "age,extra,mass,site\n1,words,10.5,a\n2,more,20,b\n"
    path = written(tmp_path / "t.csv", text)
    (rows,) = rows_for_model(open_table(path), PREPARATION)
    assert rows.values.tolist() == [[10.5, 1], [20, 2]]
    assert rows.labels == ["a", "b"]
    assert "ignored the columns extra, which the model does not have" in caplog.text


def test_new_rows_need_every_column_but_that_of_the_labels(tmp_path):
    (rows,) = rows_for_model(open_table(written(tmp_path / "t.csv", "age,mass\n1,2\n")), PREPARATION)
    assert (rows.values.tolist(), rows.labels) == ([[2, 1]], None)
    with pytest.raises(DataError, match=r"must have the columns of the model, it lacks mass\. It has age, size"):
        rows_for_model(open_table(written(tmp_path / "t.csv", "age,size\n1,2\n")), PREPARATION)


def test_the_fix_for_a_wrong_new_cell_does_not_speak_of_training(tmp_path):
    path = written(tmp_path / "t.csv", "age,mass\n1,heavy\n")
    with pytest.raises(DataError, match=r"the column mass must hold numbers, line 2 has heavy\. Write numbers$"):
        rows_for_model(open_table(path), PREPARATION)


class Frame:
    """The little of a pandas table that is used."""

    def __init__(self, columns):
        self.table, self.columns = columns, list(columns)

    def __getitem__(self, key):
        return self.table[key] if isinstance(key, str) else Frame({name: self.table[name] for name in key})

    def to_numpy(self):
        return np.stack([np.array(self.table[name]) for name in self.columns], 1)


def test_arrays_are_taken_by_position_and_tables_with_names_by_name():
    assert rows_of_array([[1, 2], [3, 4]], PREPARATION).values.tolist() == [[1, 2], [3, 4]]
    assert rows_of_array(np.array([1.0, 2.0]), PREPARATION).values.tolist() == [[1, 2]]
    rows = rows_of_array(Frame({"age": [1, 2], "site": ["a", "b"], "mass": [3, 4]}), PREPARATION)
    assert (rows.values.tolist(), rows.labels) == ([[3, 1], [4, 2]], ["a", "b"])
    with pytest.raises(
        DataError, match=r"rows must have the 2 columns of the model, mass, age, got the shape \(1, 3\)"
    ):
        rows_of_array([[1, 2, 3]], PREPARATION)
    with pytest.raises(DataError, match="the column age must have a number in every row, row 1 has nan"):
        rows_of_array([[1, 2], [3, np.nan]], PREPARATION)
    with pytest.raises(DataError, match="it lacks mass"):
        rows_of_array(Frame({"age": [1]}), PREPARATION)


def test_numbers_that_no_float32_holds_after_standardising_are_refused():
    with pytest.raises(
        DataError, match=r"the column age must have numbers like those of the training, row 0 .* 1e\+300"
    ):
        standardised(np.array([[1.0, 1e300]]), PREPARATION)
