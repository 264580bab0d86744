import hashlib

import numpy as np
import pandas as pd
import pytest

from whybuy.campaign.experiment.assign import draw_arms
from whybuy.campaign.experiment.design import Design
from whybuy.campaign.experiment.file import Assignment, read_assignment
from whybuy.errors import ArraysError, ColumnsError, SourceError, WorkspaceError
from whybuy.estimators import assign_units

IDS = np.array([f"u{i:04d}" for i in range(1000)])
EVEN = {"control": 0.5, "mail": 0.5}


def test_shares_hold_within_every_stratum():
    strata = np.where(np.arange(1000) % 7 == 0, "rare", "common")
    frame = assign_units(IDS, {"control": 0.5, "mail": 0.3, "gift": 0.2}, strata=strata, seed=1)
    for _, part in frame.groupby("stratum"):
        counts = part.arm.value_counts()
        for arm, share in (("control", 0.5), ("mail", 0.3), ("gift", 0.2)):
            assert abs(counts[arm] - share * len(part)) < 2
    assert frame.arm.value_counts().to_dict() == {"control": 500, "mail": 300, "gift": 200}


def test_strata_of_odd_sizes_even_out():
    """Three hundred strata of three: each is split 2 to 1, and all of them evenly."""
    frame = assign_units(IDS[:900], EVEN, strata=np.arange(900) // 3, seed=1)
    assert frame.arm.value_counts().to_dict() == {"control": 450, "mail": 450}
    by_stratum = frame.groupby("stratum").arm.apply(lambda arms: (arms == "mail").sum())
    assert set(by_stratum) == {1, 2}


def test_every_unit_s_chance_is_the_share_in_strata_of_one_too():
    rng = np.random.default_rng(0)
    stratum = np.array([0, 1, 1, 1, 2, 2])
    arms = np.array([draw_arms(stratum, np.array([0.7, 0.2, 0.1]), rng) for _ in range(6000)])
    for arm, share in enumerate((0.7, 0.2, 0.1)):
        assert np.abs((arms == arm).mean(axis=0) - share).max() < 4 * np.sqrt(share * (1 - share) / 6000)


def test_the_seed_decides_and_the_order_does_not():
    first = assign_units(IDS, EVEN, seed=3)
    order = np.random.default_rng(0).permutation(1000)
    pd.testing.assert_frame_equal(first, assign_units(IDS[order], EVEN, seed=3))
    assert (first.arm != assign_units(IDS, EVEN, seed=4).arm).mean() > 0.3


@pytest.mark.parametrize(
    ("units", "shares", "message"),
    [
        (IDS, {"control": 0.5, "mail": 0.4}, "sum to 0.9"),
        (IDS, {"control": 1.0}, "1 arm was named"),
        (IDS, {"control": 1.5, "mail": -0.5}, "positive shares"),
        (IDS[:20], EVEN, r"20 units leave 10.0 in the smallest arm.*at least 15"),
        (IDS, {"control": 0.99, "mail": 0.01}, "leave 10.0 in the smallest arm"),
        (np.r_[IDS, IDS[:2]], EVEN, "2 stand twice"),
        (np.r_[IDS.astype(object), None], EVEN, "1 units have no id"),
    ],
)
def test_what_cannot_be_assigned(units, shares, message):
    with pytest.raises(ArraysError, match=f"(?s){message}"):
        assign_units(units, shares, seed=1)


@pytest.fixture
def drawn() -> Assignment:
    frame = assign_units(IDS, EVEN, seed=3)
    return Assignment(frame.astype(object), Design(shares=EVEN, seed=3, start_ms=100, known_until_ms=100))


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_a_file_says_how_it_was_drawn_and_keeps_its_hash(drawn, tmp_path, name):
    drawn.write(tmp_path / name)
    found = read_assignment(tmp_path / name)
    assert found.design == drawn.design
    pd.testing.assert_frame_equal(found.frame, drawn.frame)
    assert found.sha256 == drawn.sha256
    assert len(found.sha256) == hashlib.sha256().digest_size * 2
    assert not drawn.require_free(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_the_controls_stay_the_first_arm(tmp_path, name):
    frame = assign_units(IDS, {"usual": 0.5, "mail": 0.5}, seed=3).astype(object)
    Assignment(frame, Design(shares={"usual": 0.5, "mail": 0.5})).write(tmp_path / name)
    assert list(read_assignment(tmp_path / name).design.shares) == ["usual", "mail"]


def test_one_changed_arm_or_a_changed_start_is_refused(drawn, tmp_path):
    path = tmp_path / "a.csv"
    drawn.write(path)
    text = path.read_text()
    row = next(line for line in text.splitlines() if line.endswith("mail,all"))
    path.write_text(text.replace(row, row.replace("mail", "control")))
    with pytest.raises(SourceError, match=r"(?s)was changed after it was written.*Bring the original back"):
        read_assignment(path)
    path.write_text(text.replace('"start_ms": 100', '"start_ms": 50'))
    with pytest.raises(SourceError, match="was changed"):
        read_assignment(path)
    path.write_text(text.replace(row + "\n", ""))
    with pytest.raises(SourceError, match="was changed"):
        read_assignment(path)


def test_another_assignment_is_never_overwritten(drawn, tmp_path):
    path = tmp_path / "a.parquet"
    drawn.write(path)
    other = Assignment(assign_units(IDS, EVEN, seed=4).astype(object), drawn.design)
    with pytest.raises(WorkspaceError, match=r"holds something else.*Name another --output"):
        other.require_free(path)
    (tmp_path / "b.csv").write_text("something\n")
    with pytest.raises(WorkspaceError, match="holds something else"):
        drawn.require_free(tmp_path / "b.csv")
    with pytest.raises(WorkspaceError, match=r"neither .parquet nor .csv"):
        drawn.require_free(tmp_path / "b.xlsx")


def test_a_file_of_another_system_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,arm\n007,a\n008,b\n")
    found = read_assignment(tmp_path / "a.csv")
    assert found.design is None
    assert found.frame.unit.tolist() == ["007", "008"]
    (tmp_path / "b.csv").write_text("user_id,amr\n007,a\n")
    with pytest.raises(ColumnsError, match=r"arm \(did you mean amr\?\)"):
        read_assignment(tmp_path / "b.csv")
    with pytest.raises(SourceError, match="was not found"):
        read_assignment(tmp_path / "c.csv")
    (tmp_path / "d.parquet").write_text("no parquet")
    with pytest.raises(SourceError, match="cannot be read"):
        read_assignment(tmp_path / "d.parquet")
