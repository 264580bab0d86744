"""The usual purchase predictor: a 64-32-1 perceptron on ten counts of behavior, and what it misses.

At every decision of a user it predicts whether a purchase follows within the horizon, from counts of what happened up
to then. It is here as a baseline and as a lesson: the figures come with those of knowing nothing (the base rate, and
always answering the commoner way), on users that it was not trained on, with intervals over users.

Keras does the training, on PyTorch unless ``KERAS_BACKEND`` names another backend. Rejected: seeds of the whole
process (``keras.utils.set_random_seed``): first weights and the order of rows have seeds of their own.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.behavior.baselines.judged import judge
from whybuy.behavior.baselines.mlp_result import FEATURES, LAYERS, Epoch, MlpResult
from whybuy.behavior.folds import folds_of_users
from whybuy.config import duration_ms, duration_text
from whybuy.errors import MissingExtraError, QuestionError
from whybuy.events.features import LONGEST_WINDOW_MS
from whybuy.events.moments import Moments, decisions, prefix_counts
from whybuy.events.sequences import Bools, Ints, Sequences, SequenceStore
from whybuy.progress import Report, quiet

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

EPOCHS = 10
BATCH = 32

_COUNTED = tuple(c.ACTIONS.index(a) for a in ("view", "search", "favorite", "cart"))
_PURCHASE = c.ACTIONS.index("purchase")
_HOUR_MS, _DAY_MS = duration_ms("1h"), duration_ms("1d")
_NEVER_HOURS = 24.0 * 60
_TEST_SHARE = 0.2
_BLOCK_EVENTS = 65_536
_PREDICT_BATCH = 8_192


@dataclass(frozen=True)
class MlpPlan:
    """What is predicted, and on how much it is learnt.

    Attributes
    ----------
    horizon_ms : a purchase within this time after the moment counts
    end_ms : end of the observed window: moments whose horizon passes it are left out
    through : whether the moment's own events are counted (a forecast from now on) or only those before it, as the
        nuisance models of the causal questions see
    session_gap_ms : a pause longer than this starts a session
    max_rows : at most about this many moments are used, for training and test together; a random part beyond
    """

    horizon_ms: int
    end_ms: int
    through: bool = True
    session_gap_ms: int = duration_ms("30m")
    max_rows: int = 80_000
    seed: int = 7


@dataclass(frozen=True)
class PurchaseRows:
    """The moments that are learnt from and judged.

    Attributes
    ----------
    features : (n, 10) columns of ``FEATURES``
    bought : (n,) whether a purchase follows within the horizon
    user : (n,) number of the user
    test : (n,) whether the user is held out
    n_decisions, n_followed : decisions of the log, and those with full follow-up
    share : of those with full follow-up, the part that was drawn
    """

    features: Floats
    bought: Bools
    user: Ints
    test: Bools
    n_decisions: int
    n_followed: int
    share: float


@dataclass(frozen=True)
class PurchaseMlp:
    """A trained perceptron.

    Attributes
    ----------
    model : Keras model from the columns of ``FEATURES``, unscaled, to the probability
    """

    model: Any
    plan: MlpPlan

    def probability(self, sequences: Sequences) -> Doubles:
        """Return (n_moments,) P(purchase within the horizon) at every moment, whether it is a decision or not."""
        return self.of_features(behavior_features(sequences, _moments(sequences, self.plan), self.plan))

    def of_features(self, features: Floats) -> Doubles:
        """Return (n,) probabilities from (n, 10) features."""
        if len(features) == 0:
            return np.empty(0)
        with _at_work():
            found = self.model.predict(features, batch_size=_PREDICT_BATCH, verbose=0)
        return np.asarray(found, np.float64)[:, 0]

    def save(self, path: Path) -> None:
        """Write the model as a ``.keras`` file, which Keras alone can read."""
        with _at_work():
            self.model.save(path)


def load_keras() -> Any:
    """Return Keras, on PyTorch unless ``KERAS_BACKEND`` says otherwise.

    Raises
    ------
    MissingExtraError
        Keras, or the backend that was asked for, is not installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    backend = os.environ["KERAS_BACKEND"]
    try:
        import keras
    except (ImportError, ValueError) as error:
        if getattr(error, "name", None) == "keras":
            raise MissingExtraError.of_extra(package="Keras", extra="keras") from error
        raise MissingExtraError.of(
            found=f"Keras cannot load its backend {backend!r}, which KERAS_BACKEND names ({error})",
            needed="an installed backend",
            do="Set KERAS_BACKEND=torch, or install that one",
        ) from error
    return keras


def train_mlp(
    parts: Sequence[Sequences] | SequenceStore, plan: MlpPlan, *, report: Report = quiet
) -> tuple[PurchaseMlp, MlpResult]:
    """Return the perceptron trained on four fifths of the users, and how well it does on the others.

    Parameters
    ----------
    parts : the shards of a log

    Raises
    ------
    MissingExtraError
        Keras is not installed.
    QuestionError
        There is no decision with full follow-up, or all are alike: nobody buys, or everybody.
    """
    keras = load_keras()
    rows = purchase_rows(parts, plan)
    train = np.flatnonzero(~rows.test)
    model = _perceptron(keras, rows.features[train], plan.seed)
    with _at_work():
        epochs = tuple(_fit(model, rows, train, plan, report))
        loss = float(model.evaluate(*_test(rows), batch_size=_PREDICT_BATCH, verbose=0)[0])
    mlp = PurchaseMlp(model, plan)
    return mlp, _result(rows, mlp, epochs, loss, backend=str(keras.backend.backend()))


def behavior_features(sequences: Sequences, moments: Moments, plan: MlpPlan) -> Floats:
    """Return (n_moments, 10): the columns of ``FEATURES``."""
    first, stop = moments.first, moments.end if plan.through else moments.first
    action, ts = np.asarray(sequences.action), np.asarray(sequences.ts_ms)
    start = np.asarray(sequences.offsets)[moments.user]
    week, month = moments.since(7 * _DAY_MS), moments.since(30 * _DAY_MS)
    counts = prefix_counts((action[:, None] == np.array([*_COUNTED, _PURCHASE])).astype(np.uint8))
    spent = np.concatenate([[0.0], np.cumsum(sequences.spend, dtype=float)])
    bought = np.maximum.accumulate(np.where(action == _PURCHASE, np.arange(len(action)), -1))
    last_bought = np.where(stop > start, bought[np.maximum(stop - 1, 0)], -1)
    columns = [
        _log_hours(moments.ts_ms - ts[np.maximum(first - 1, 0)], first > start),
        _log_hours(moments.ts_ms - ts[last_bought], last_bought >= start),
        *np.log1p((counts[stop] - counts[week])[:, :-1]).T,
        np.log1p((counts[stop] - counts[month])[:, -1]),
        # A difference of running sums can fall below zero by rounding.
        np.log1p(np.maximum(spent[stop] - spent[month], 0)),
        np.log1p(_sessions(sequences, week, stop, plan.session_gap_ms)),
        moments.ts_ms % _DAY_MS / _HOUR_MS,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def purchase_rows(parts: Sequence[Sequences] | SequenceStore, plan: MlpPlan) -> PurchaseRows:
    """Return the decisions with full follow-up, or a random part of them where there are very many.

    Raises
    ------
    QuestionError
        There is none, or training or test moments are all alike.
    """
    n_moments = sum(len(part.moment_starts) - 1 for part in parts)
    share = min(1.0, plan.max_rows / max(n_moments, 1))
    blocks = [block for k, part in enumerate(parts) if part.n_events for block in _blocks(part, plan, share, shard=k)]
    if not any(len(block.bought) for block in blocks):
        raise QuestionError.of(
            found=f"No decision has {duration_text(plan.horizon_ms)} of follow-up",
            needed="a log with decisions that lasts longer than the horizon",
            do="Set a shorter horizon in whybuy.toml",
        )
    ends = np.cumsum([0, *(int(block.user.max(initial=-1)) + 1 for block in blocks)])
    rows = PurchaseRows(
        features=np.concatenate([block.features for block in blocks]),
        bought=np.concatenate([block.bought for block in blocks]),
        user=np.concatenate([block.user + end for block, end in zip(blocks, ends[:-1], strict=True)]),
        test=np.concatenate([block.test for block in blocks]),
        n_decisions=sum(block.n_decisions for block in blocks),
        n_followed=sum(block.n_followed for block in blocks),
        share=share,
    )
    for name, chosen in (("training", ~rows.test), ("test", rows.test)):
        n_bought = int(rows.bought[chosen].sum())
        if n_bought in (0, int(chosen.sum())):
            raise QuestionError.of(
                found=f"Of {int(chosen.sum()):,} {name} moments {n_bought:,} are followed by a purchase within "
                f"{duration_text(plan.horizon_ms)}",
                needed="moments of both kinds",
                do="Use a log with more users and purchases, or another horizon",
            )
    return rows


def _blocks(part: Sequences, plan: MlpPlan, share: float, *, shard: int) -> Iterator[PurchaseRows]:
    rng = np.random.default_rng([plan.seed, shard])
    for sequences in part.blocks(_BLOCK_EVENTS):
        moments = _moments(sequences, plan)
        decided = decisions(sequences, moments)
        followed = decided & (moments.ts_ms + plan.horizon_ms <= plan.end_ms)
        kept = followed & (rng.random(len(moments)) < share)
        purchases = np.concatenate([[0], np.cumsum(np.asarray(sequences.action) == _PURCHASE)])
        bought = purchases[moments.until(plan.horizon_ms)] > purchases[moments.end]
        test = folds_of_users(sequences.user_ids).position < _TEST_SHARE
        yield PurchaseRows(
            features=behavior_features(sequences, moments, plan)[kept],
            bought=bought[kept],
            user=moments.user[kept],
            test=test[moments.user[kept]],
            n_decisions=int(decided.sum()),
            n_followed=int(followed.sum()),
            share=share,
        )


def _moments(sequences: Sequences, plan: MlpPlan) -> Moments:
    return Moments.of(sequences, reach_ms=max(LONGEST_WINDOW_MS, plan.horizon_ms))


def _log_hours(gap_ms: Ints, known: Bools) -> Doubles:
    hours = np.where(known, np.minimum(gap_ms / _HOUR_MS, _NEVER_HOURS), _NEVER_HOURS)
    return np.log1p(np.maximum(hours, 0))


def _sessions(sequences: Sequences, low: Ints, stop: Ints, gap_ms: int) -> Ints:
    """Return how many sessions have an event in [low, stop): that of the first event, and those that start after it."""
    ts = np.asarray(sequences.ts_ms)
    begins = np.diff(ts, prepend=ts[:1]) > gap_ms
    begun = np.concatenate([[0], np.cumsum(begins)])
    # Ranges never leave a user, so where a user starts needs no mark.
    return np.where(stop > low, 1 + begun[stop] - begun[np.minimum(low + 1, stop)], 0)


def _perceptron(keras: Any, features: Floats, seed: int) -> Any:
    first = [keras.initializers.GlorotUniform(seed=seed + k) for k in range(len(LAYERS))]
    scale = keras.layers.Normalization(mean=features.mean(axis=0), variance=features.var(axis=0))
    dense = [
        keras.layers.Dense(width, activation=activation, kernel_initializer=weights)
        for width, activation, weights in zip(LAYERS, ("relu", "relu", "sigmoid"), first, strict=True)
    ]
    model = keras.Sequential([keras.Input((len(FEATURES),)), scale, *dense])
    model.compile(optimizer=keras.optimizers.Adam(), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def _fit(model: Any, rows: PurchaseRows, train: Ints, plan: MlpPlan, report: Report) -> Iterator[Epoch]:
    rng = np.random.default_rng(plan.seed)
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(train)
        labels = rows.bought[order].astype(np.float32)
        found = model.fit(rows.features[order], labels, batch_size=BATCH, epochs=1, shuffle=False, verbose=0).history
        done = Epoch(epoch, float(found["loss"][0]), float(found["accuracy"][0]))
        report("mlp", epoch, EPOCHS, f"loss {done.loss:.4f}, accuracy {done.accuracy:.4f}")
        yield done


def _test(rows: PurchaseRows) -> tuple[Floats, Floats]:
    return rows.features[rows.test], rows.bought[rows.test].astype(np.float32)


@contextmanager
def _at_work() -> Iterator[None]:
    """Give PyTorch one thread, and keep what Keras and PyTorch say to each other about NumPy's copies from the user.

    A batch of 32 rows is too small to share: threads that wait for each other cost more, on a busy machine 20 times as
    much, and sums taken by one thread are the same on every machine.
    """
    torch = sys.modules.get("torch")
    n_threads = torch.get_num_threads() if torch is not None else 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        if torch is not None:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(n_threads)


def _result(rows: PurchaseRows, mlp: PurchaseMlp, epochs: tuple[Epoch, ...], loss: float, *, backend: str) -> MlpResult:
    test = rows.test
    return MlpResult(
        horizon=duration_text(mlp.plan.horizon_ms),
        backend=backend,
        n_train=int((~test).sum()),
        n_test=int(test.sum()),
        n_train_users=len(np.unique(rows.user[~test])),
        n_test_users=len(np.unique(rows.user[test])),
        n_without_follow_up=rows.n_decisions - rows.n_followed,
        share_of_moments=rows.share,
        epochs=epochs,
        loss=loss,
        judged=judge(
            rows.bought[test],
            mlp.of_features(rows.features[test]),
            rows.user[test],
            base_rate=float(rows.bought[~test].mean()),
        ),
    )
