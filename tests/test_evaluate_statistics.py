"""Ranks, spread, significance, tables and boards, against numbers worked by hand and SciPy."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from cmmdl.errors import UserError
from cmmdl.evaluate import (
    Evaluation,
    Exclusion,
    build_table,
    compare_with_best,
    draw,
    holm,
    load_board,
    markdown,
    mean_ranks,
    plain,
    ranks,
    summarise,
    to_csv,
    to_json,
    wilcoxon_p,
)

NAN, INF = float("nan"), float("inf")


def evaluation(scores: object, methods: str = "abc", metrics: tuple[str, ...] = ("EN", "MSE")) -> Evaluation:
    """Scores ``(methods, pictures, metrics)`` of made-up methods."""
    array = np.asarray(scores, dtype=np.float64)
    return Evaluation(
        convention="cmmdl",
        stretch=False,
        metrics=metrics,
        higher=tuple(metric != "MSE" for metric in metrics),
        methods=tuple(methods),
        pictures=tuple(f"p{k}" for k in range(array.shape[1])),
        scores=array,
        excluded=(),
    )


def test_ranks_by_hand() -> None:
    values = [[7.0, 50.0, 1.0], [6.0, 40.0, 1.0], [7.0, 60.0, NAN], [5.0, 40.0, 2.0]]
    assert ranks(values, [True, False, True]).tolist() == [[1, 3, 2], [3, 1, 2], [1, 4, 4], [4, 1, 1]]
    np.testing.assert_allclose(mean_ranks(values, [True, False, True]), [2, 2, 3, 2])


def test_infinities_and_nan_have_their_place() -> None:
    assert ranks([[INF], [3.0], [-INF], [NAN]], [True])[:, 0].tolist() == [1, 2, 3, 3]
    assert ranks([[INF], [3.0], [NAN]], [False])[:, 0].tolist() == [2, 1, 2]


@given(arrays.arrays(np.float64, (5, 3), elements=st.floats(-9, 9)))
def test_ranks_agree_with_scipy(values: np.ndarray) -> None:
    expected = np.column_stack([stats.rankdata(-values[:, 0], "min"), stats.rankdata(values[:, 1], "min")])
    assert np.array_equal(ranks(values[:, :2], [True, False]), expected)


def test_summary_by_hand_and_scipy() -> None:
    found = summarise([1.0, 2.0, 3.0, 6.0])
    assert found.mean == 3.0
    assert found.std == pytest.approx(np.sqrt(14 / 3))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 3, loc=3, scale=np.sqrt(14 / 12)))
    assert found.low == pytest.approx(-0.43743, abs=1e-5)


def test_one_picture_has_no_spread_and_a_nan_is_not_averaged_away() -> None:
    assert summarise([2.0]).mean == 2.0
    assert np.isnan(summarise([2.0]).std)
    assert np.isnan(summarise([2.0, NAN]).mean)
    assert summarise([2.0, INF]).mean == INF


def test_wilcoxon_by_hand() -> None:
    """Six differences of one sign: the two extreme of 2^6 sign patterns, 2 / 64."""
    a = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert wilcoxon_p(a, a + np.arange(1, 7) / 10) == pytest.approx(2 / 64)
    assert wilcoxon_p(a, a) == 1.0
    assert wilcoxon_p([INF, 1.0], [INF, 1.0]) == 1.0
    assert np.isnan(wilcoxon_p([INF, 1.0], [0.0, 1.0]))


def test_wilcoxon_agrees_with_scipy() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=20), random.normal(0.4, size=20)
    assert wilcoxon_p(a, b) == pytest.approx(stats.wilcoxon(a, b).pvalue)


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, NAN, 0.6]), [1.0, NAN, 1.0])


def test_comparison_finds_the_best_by_direction() -> None:
    scores = [[1.0, 2, 3, 4, 5, 6], [2.0, 3.1, 4.2, 5.3, 6.4, 7.5], [1.0, 2, 3, 4, 5, 6.5]]
    up, down = compare_with_best(scores, True), compare_with_best(scores, False)
    assert (up.best, down.best) == (1, 0)
    np.testing.assert_allclose(up.p, [2 / 64, 1, 2 / 64])
    np.testing.assert_allclose(up.p_holm, [4 / 64, 1, 4 / 64])
    assert down.p[2] == 1.0  # a single difference says nothing


def test_table_marks_best_and_second_with_ties() -> None:
    table = build_table(evaluation([[[7, 10]], [[6, 20]], [[7, 30]]]))
    assert [[table.mark(row, column) for column in range(2)] for row in range(3)] == [
        ["best", "best"],
        ["second", "second"],
        ["best", ""],
    ]
    np.testing.assert_allclose(table.mean_rank, [1, 2.5, 2])


def test_no_marks_where_there_is_no_contest() -> None:
    assert build_table(evaluation([[[7, 10]]], "a")).mark(0, 0) == ""
    two = build_table(evaluation([[[7, 10]], [[6, 10]]], "ab"))
    assert [two.mark(row, column) for row in range(2) for column in range(2)] == ["best", "", "", ""]


def test_a_board_is_ranked_together_over_shared_columns() -> None:
    board = {"x": {"EN": 6.5}, "y": {"EN": 8.0}, "a": {"EN": 5.0}}
    table = build_table(evaluation([[[7, 10]], [[6, 20]]], "ab"), board)
    assert table.names == ("a", "b", "x", "y", "a (board)")
    assert table.ranked == ("EN",)
    np.testing.assert_allclose(table.mean_rank, [2, 4, 3, 1, 5])
    assert table.mark(3, 0) == "best"
    assert table.mark(0, 1) == "best"
    assert table.mark(2, 1) == ""


NINE = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")


@pytest.mark.parametrize(
    ("name", "row", "expected", "rounding"),
    [
        ("tno", [7.09, 44.7, 13.6, 5.2, 1.72, 1.64, 0.67, 0.48, 1.33], 5.44, 0.005),
        ("roadscene", [7.36, 50.3, 16.1, 5.7, 2.40, 1.67, 0.73, 0.56, 1.37], 3.67, 1 / 9 + 0.005),
    ],
)
def test_a_known_row_gets_its_known_mean_rank(
    shared: Path, name: str, row: list[float], expected: float, rounding: float
) -> None:
    """The rows are printed with three digits, which tips one of the nine ranks on RoadScene."""
    table = build_table(evaluation([[row]], "o", NINE), load_board(shared / "boards" / f"{name}.json", "cmmdl"))
    assert len(table.names) == 14
    assert table.mean_rank[0] == pytest.approx(expected, abs=rounding)


def test_board_takes_the_ssim_of_its_convention(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_text('{"x": {"SSIM": 1.2, "SSIM2": 0.9}}')
    assert load_board(path, "cmmdl")["x"]["SSIM"] == 1.2
    assert load_board(path, "cddfuse")["x"]["SSIM"] == 0.9


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"x": 3}', '{"x": {"EN": "7"}}', '{"x": {"EN": NaN}}'])
def test_a_wrong_board_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "board.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"board\.json"):
        load_board(path, "cmmdl")


def test_written_json_is_a_board_of_its_convention_only(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(to_json(evaluation([[[7, 10], [8, 20]]], "a")))
    assert load_board(path, "cmmdl") == {"a": {"EN": 7.5, "MSE": 15.0}}
    with pytest.raises(UserError, match="two conventions"):
        load_board(path, "vifb")


def test_markdown_by_hand() -> None:
    text = markdown(evaluation([[[7, 10]], [[6, 20]], [[5, 30]]]), {"x|y": {"EN": 6.5}})
    lines = text.splitlines()
    assert lines[0] == "| method | EN ↑ | MSE ↓ | mean rank ↓ |"
    assert lines[2:6] == [
        "| a | **7.000** | **10.00** | **1.00** |",
        "| b | 6.000 | <u>20.00</u> | 3.00 |",
        "| c | 5.000 | 30.00 | 4.00 |",
        "| x\\|y | <u>6.500</u> | – | 2.00 |",
    ]
    assert "averaged over EN." in text


def test_markdown_lists_what_was_excluded() -> None:
    result = evaluation([[[7, 10]]], "a")
    text = markdown(Evaluation(**{**vars(result), "excluded": (Exclusion("07", "a", "there is no such file"),)}))
    assert "- 07 (a): there is no such file" in text


def test_plain_table_is_aligned_and_marked() -> None:
    lines = plain(evaluation([[[7, 10]], [[6, 20]], [[5, 30]]])).splitlines()
    assert lines[0] == "method   EN ↑   MSE ↓   mean rank ↓"
    assert lines[1] == "a       7.000*  10.00*         1.00*"
    assert lines[2] == "b       6.000+  20.00+         2.00"
    assert "\033[1m7.000\033[0m" in plain(evaluation([[[7, 10]], [[6, 20]]], "ab"), colour=True)


def test_plain_of_one_method_shows_its_spread() -> None:
    lines = plain(evaluation([[[1, 10], [2, 10], [3, 10], [6, 10]]], "a")).splitlines()
    assert lines[1].split() == ["EN", "↑", "3.000", "2.160", "-0.437", "6.437"]
    assert lines[2].split() == ["MSE", "↓", "10.00", "0.00", "10.00", "10.00"]


def test_csv_round_trip() -> None:
    result = evaluation([[[1 / 3, INF], [2, NAN]], [[3, 4], [5, 6]]], "ab")
    rows = list(csv.DictReader(io.StringIO(to_csv(result, {"x": {"EN": 7.0}}))))
    assert float(rows[0]["EN"]) == 1 / 3
    assert (rows[0]["MSE"], rows[1]["MSE"]) == ("inf", "")
    assert [row["kind"] for row in rows if row["method"] == "b"] == [
        "picture", "picture", "mean", "std", "ci95_low", "ci95_high",
    ]  # fmt: skip
    means = {row["method"]: row["EN"] for row in rows if row["kind"] == "mean"}
    assert float(means["b"]) == 4.0
    assert rows[-1] == {"method": "x", "kind": "board", "picture": "", "EN": "7.0", "MSE": ""}


def test_json_is_strict_and_complete() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    result = evaluation([[[1, INF], [2, NAN]], [[3, 4], [5, 6]]], "ab")
    data = json.loads(to_json(result, {"x": {"EN": 7.0}}), parse_constant=refuse)
    assert data["methods"]["a"]["scores"]["p0"] == {"EN": 1.0, "MSE": None}
    assert data["methods"]["b"]["summary"]["EN"]["mean"] == 4.0
    assert data["infinite"] == [["a", "p0", "MSE", "inf"]]
    assert data["mean_rank"] == {"a": 3.0, "b": 2.0, "x": 1.0}
    assert data["significance"]["EN"] == {"best": "b", "p": {"a": 0.5, "b": 1.0}, "p_holm": {"a": 0.5, "b": 1.0}}


@pytest.mark.parametrize("kind", ["strips", "radar"])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plots_are_drawn(tmp_path: Path, kind: str, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    scores = np.random.default_rng(0).normal(5, 1, (3, 4, 5))
    result = evaluation(scores, metrics=("EN", "MSE", "MI", "SD", "SF"))
    board = {"known": {"EN": 5.0, "MSE": 4.0, "MI": 5.0, "SD": 4.4, "SF": 3.0}}
    draw(tmp_path / f"plot{suffix}", result, board, kind)  # type: ignore[arg-type]
    data = (tmp_path / f"plot{suffix}").read_bytes()
    assert data.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    assert len(data) > 5000
    assert [path.name for path in tmp_path.iterdir()] == [f"plot{suffix}"]


def test_plot_refusals(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UserError, match="suffix"):
        draw(tmp_path / "plot.gif", evaluation([[[7, 10]]], "a"))
    with pytest.raises(UserError, match="three metrics"):
        draw(tmp_path / "plot.png", evaluation([[[7, 10]]], "a"), kind="radar")
