"""Losses of every pass for TensorBoard or MLflow, where people want to compare runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from whybuy.errors import MissingExtraError

Tracker = Literal["tensorboard", "mlflow"]


def tracker(kind: Tracker, folder: Path, run: str) -> Callable[[dict[str, float], int], None]:
    """Return what takes (figures by name, step) and writes them under ``folder``.

    TensorBoard reads ``folder/tensorboard``; MLflow's runs stand in the database ``folder/mlflow.db``.

    Raises
    ------
    MissingExtraError
        The extra ``track`` is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _tensorboard(folder, run) if kind == "tensorboard" else _mlflow(folder, run)


def _tensorboard(folder: Path, run: str) -> Callable[[dict[str, float], int], None]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError.of_extra(package="TensorBoard", extra="track") from error
    writer = SummaryWriter(log_dir=str(folder / "tensorboard" / run))

    def log(figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(name.replace(" ", "_"), value, step)
        writer.flush()

    return log


def _mlflow(folder: Path, run: str) -> Callable[[dict[str, float], int], None]:
    try:
        from mlflow.entities import Metric
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MissingExtraError.of_extra(package="MLflow", extra="track") from error
    client = MlflowClient(tracking_uri=f"sqlite:///{(folder / 'mlflow.db').resolve()}")
    found = client.get_experiment_by_name("whybuy")
    experiment = found.experiment_id if found is not None else client.create_experiment("whybuy")
    run_id = client.create_run(experiment, run_name=run).info.run_id

    def log(figures: dict[str, float], step: int) -> None:
        metrics = [Metric(name.replace(" ", "_"), value, 0, step) for name, value in figures.items()]
        client.log_batch(run_id, metrics)

    return log
