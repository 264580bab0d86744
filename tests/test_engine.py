import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from whybuy.config import config_from_dict
from whybuy.engine import LocalEngine, engine_of, give_back_memory, steady_duckdb
from whybuy.errors import ConfigError, SourceError

SHARDS = [Path(f"shard-{i}") for i in range(4)]


def weight(shard: Path) -> float:
    return 0.1 * 3 ** int(shard.name.removeprefix("shard-"))


def test_the_sum_over_shards():
    assert LocalEngine().map_sum(SHARDS, weight) == pytest.approx(4.0)


def test_processes_give_the_same_bits():
    assert LocalEngine(processes=2).map_sum(SHARDS, weight) == LocalEngine().map_sum(SHARDS, weight)


def test_no_shards_are_refused():
    with pytest.raises(SourceError, match=r"no shards.*At least one event.*whybuy check"):
        LocalEngine().map_sum([], weight)


def test_spark_is_refused_for_now():
    config = {"engine": "spark", "events": [{"path": "log.csv"}]}
    with pytest.raises(ConfigError, match=r'engine = "spark".*later.*Set engine = "local"'):
        engine_of(config_from_dict(config, base=Path()))
    assert engine_of(config_from_dict({**config, "engine": "local"}, base=Path())) == LocalEngine()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc keeps the holes")
def test_freed_memory_goes_back_to_the_system():
    """Small pieces with every second one kept: what is freed between them stays with the process until it is asked."""
    held = [bytearray(60_000) for _ in range(4_000)]
    del held[::2]
    before = psutil.Process().memory_info().rss
    give_back_memory()
    assert psutil.Process().memory_info().rss < before - 50_000_000
    assert len(held) == 2_000


def test_sums_of_fractions_have_the_same_bits_on_every_run():
    query = (
        "SELECT k, sum(x) FROM (SELECT i % 3 AS k, 1 / (1 + i) AS x FROM range(2_000_000) r(i)) GROUP BY k ORDER BY k"
    )
    with steady_duckdb() as con:
        assert len({str(con.execute(query).fetchall()) for _ in range(5)}) == 1


def test_no_bar_is_drawn_among_the_answers():
    """DuckDB draws one by default where the program has no main file, as here and in a notebook."""
    told = "print(con.execute(\"SELECT current_setting('enable_progress_bar')\").fetchone()[0])"
    code = f"import duckdb; from whybuy.engine import steady_duckdb; con = steady_duckdb(); {told}"
    plain = f"import duckdb; con = duckdb.connect(); {told}"
    found = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, text=True, check=True) for c in (code, plain)
    ]
    assert [run.stdout.strip() for run in found] == ["False", "True"]
