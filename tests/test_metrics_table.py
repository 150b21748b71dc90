"""The table of what hand-made codes score, in vae/disentanglement/README.md."""

import re

import pytest
from command import ROOT

import metrics_table
from vae.disentanglement import names
from vae.disentanglement.representation import Sizes

# The values of Locatello et al.'s library, or exact ones, for the same codes with other noise.
LIBRARY = {
    "perfect": {"factor_vae_score": 1, "mig": 0.999, "modularity": 1, "irs": 1},
    "noisy": {"factor_vae_score": 1, "mig": 0.864, "modularity": 1, "irs": 0.759, "infoe": 0.88},
    "+ 3 dead": {"factor_vae_score": 1, "mig": 0.866, "modularity": 0.571, "irs": 0.750},
    "each twice": {"factor_vae_score": 1, "mig": 0.004, "modularity": 1, "irs": 0.760, "infoe": 0.96},
    "half random": {"beta_vae_score": 0.767, "mig": 0.5},
    "random": {"beta_vae_score": 0.249, "factor_vae_score": 0.253, "mig": 0.001, "modularity": 0.728, "irs": 0.357},
}
DRAWN = {"beta_vae_score": 0.03, "factor_vae_score": 0.03, "modularity": 0.09, "irs": 0.06}  # tolerances; else 0.015
QUICK = ("factor_vae_score", "mig", "sap_continuous", "infomec", "irs")


def shown() -> dict[str, dict[str, float]]:
    """The table of the README by column and name."""
    text = (ROOT / "vae/disentanglement/README.md").read_text()
    (table,) = re.findall(r"^\| name \| perfect .*?\n\n", text, flags=re.MULTILINE | re.DOTALL)
    header, _, *rows = ([cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.strip().splitlines())
    return {title: {row[0]: float(row[k]) for row in rows} for k, title in enumerate(header) if k}


def test_the_table_has_every_code_and_every_score():
    table = shown()
    assert list(table) == list(metrics_table.hand_made())
    for column in table.values():
        assert list(column) == [*names.OF_CODES, *names.OF_POSTERIORS]


@pytest.mark.parametrize("title", LIBRARY)
def test_the_table_agrees_with_the_library(title):
    column = shown()[title]
    for name, expected in LIBRARY[title].items():
        assert column[name] == pytest.approx(expected, abs=DRAWN.get(name, 0.015)), name


def test_the_table_is_what_the_script_prints():
    table = shown()
    for title, codes in metrics_table.hand_made().items():
        for name, value in metrics_table.answers(codes, QUICK, Sizes()).items():
            assert table[title][name] == pytest.approx(value, abs=0.006), (title, name)


def test_the_script_prints_two_digits_and_all_scores_of_its_purposes(monkeypatch, capsys):
    small = Sizes(train=60, test=30, batch=2, trees=1, samples=20, components=20)
    monkeypatch.setattr(metrics_table, "Sizes", lambda: small)
    monkeypatch.setattr(metrics_table, "COPIES", 1)
    metrics_table.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"| name | {' | '.join(metrics_table.hand_made())} |"
    assert len(lines) == 2 + len(names.OF_CODES) + len(names.OF_POSTERIORS)
    assert re.fullmatch(r"\| `mig`( \| [01]\.\d\d){10} \|", lines[4])
