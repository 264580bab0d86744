"""CausalML's and scikit-uplift's learners of uplift, each as ``(taught, X) -> (n,) effects``.

All but the forest stand on LightGBM of the settings that are passed. CausalML's are passed the known chances of being
treated; scikit-uplift's have no place for them.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from benchmarks.inputs.uplift_sets import Drawn
from lightgbm import LGBMClassifier, LGBMRegressor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from causalml.inference import meta
    from causalml.inference.tree import UpliftRandomForestClassifier
    from sklift.models import ClassTransformation, SoloModel, TwoModels

Settings = Mapping[str, Any]
Peer = Callable[[Drawn, np.ndarray, Settings], np.ndarray]

DEFAULT: Settings = {}
SMALL: Settings = {
    "n_estimators": 60, "learning_rate": 0.1, "num_leaves": 8, "min_child_samples": 40, "colsample_bytree": 0.5,
    "reg_lambda": 10.0,
}  # fmt: skip
FOREST: Settings = {"n_estimators": 60, "max_depth": 6, "min_samples_leaf": 100, "min_samples_treatment": 20}


def outcome_model(taught: Drawn, settings: Settings) -> LGBMClassifier | LGBMRegressor:
    return (LGBMClassifier if taught.binary else LGBMRegressor)(**settings, **_FIXED)


def effect_model(settings: Settings) -> LGBMRegressor:
    return LGBMRegressor(**settings, **_FIXED)


_FIXED: Settings = {"n_jobs": 1, "verbosity": -1, "random_state": 7}


def causalml_s(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    kind = meta.BaseSClassifier if taught.binary else meta.BaseSRegressor
    learner = kind(outcome_model(taught, settings))
    learner.fit(taught.X, taught.T.astype(int), taught.Y)
    return np.ravel(learner.predict(X))


def causalml_t(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    kind = meta.BaseTClassifier if taught.binary else meta.BaseTRegressor
    learner = kind(outcome_model(taught, settings))
    learner.fit(taught.X, taught.T.astype(int), taught.Y)
    return np.ravel(learner.predict(X))


def causalml_x(taught: Drawn, X: np.ndarray, settings: Settings, *, known: bool = True) -> np.ndarray:
    if taught.binary:
        learner = meta.BaseXClassifier(outcome_model(taught, settings), effect_model(settings))
    else:
        learner = meta.BaseXRegressor(effect_model(settings))
    learner.fit(taught.X, taught.T.astype(int), taught.Y, p=taught.e if known else None)
    return np.ravel(learner.predict(X, p=np.full(len(X), taught.e.mean()) if known else None))


def causalml_r(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    if taught.binary:
        learner = meta.BaseRClassifier(outcome_model(taught, settings), effect_model(settings), random_state=7)
    else:
        learner = meta.BaseRRegressor(effect_model(settings), random_state=7)
    learner.fit(taught.X, taught.T.astype(int), taught.Y, p=taught.e, verbose=False)
    return np.ravel(learner.predict(X))


def causalml_dr(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    if taught.binary:
        learner = meta.BaseDRClassifier(
            control_outcome_learner=outcome_model(taught, settings),
            treatment_outcome_learner=outcome_model(taught, settings),
            treatment_effect_learner=effect_model(settings),
        )
    else:
        learner = meta.BaseDRRegressor(effect_model(settings))
    learner.fit(taught.X, taught.T.astype(int), taught.Y, p=taught.e, seed=7)
    return np.ravel(learner.predict(X))


def causalml_forest(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    forest = UpliftRandomForestClassifier(control_name="0", n_jobs=1, random_state=7, **settings)
    forest.fit(taught.X, np.where(taught.T > 0, "1", "0"), taught.Y.astype(int))
    return np.ravel(forest.predict(X))


def sklift_solo(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    return SoloModel(outcome_model(taught, settings)).fit(taught.X, taught.Y, taught.T).predict(X)


def sklift_two(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    models = (outcome_model(taught, settings) for _ in range(2))
    return TwoModels(*models).fit(taught.X, taught.Y, taught.T).predict(X)


def sklift_class(taught: Drawn, X: np.ndarray, settings: Settings) -> np.ndarray:
    return ClassTransformation(outcome_model(taught, settings)).fit(taught.X, taught.Y, taught.T).predict(X)


PEERS: dict[str, Peer] = {
    "CausalML S": causalml_s,
    "CausalML T": causalml_t,
    "CausalML X": causalml_x,
    "CausalML R": causalml_r,
    "CausalML DR": causalml_dr,
    "CausalML forest": causalml_forest,
    "scikit-uplift solo": sklift_solo,
    "scikit-uplift two": sklift_two,
    "scikit-uplift class": sklift_class,
}
BINARY_ONLY = {"CausalML forest", "scikit-uplift class"}
