"""Which behaviors cause which purchases, by how much, and for whom: from the event log of a shop."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whybuy import estimators
    from whybuy.library import (
        Log,
        certify,
        dose,
        effect,
        effects,
        graph,
        read,
        recommender,
        scan,
        second_opinion,
        sustained,
        who_gains,
    )

__version__ = "0.1.0"

__all__ = [
    "Log", "__version__", "certify", "dose", "effect", "effects", "estimators", "graph", "read", "recommender", "scan",
    "second_opinion", "sustained", "who_gains",
]  # fmt: skip


def __dir__() -> list[str]:
    """Name what there is, loaded or not, for completion."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Load the library when one of its names is first asked for: the import stays light."""
    if name not in __all__:
        message = f"module 'whybuy' has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    if name == "estimators":
        return importlib.import_module("whybuy.estimators")
    return getattr(importlib.import_module("whybuy.library"), name)
