"""What was shown to whom, with what probability, and why the rest was not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.errors import PolicyError
from whybuy.recommend.policy.inputs import NOBODY, Candidates, Floats, Ints
from whybuy.recommend.policy.limits import WORDS, LeftOut, Reasons

if TYPE_CHECKING:
    import numpy.typing as npt
    from plotly.graph_objects import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Slates:
    """One slate per user.

    Attributes
    ----------
    candidates : what was chosen from
    round_number : of the random numbers
    item : (n_users, k) codes into the shelf, best slot first, -1 where the slate ends early
    score : (n_users, k) of the candidates as given; NaN in empty slots
    propensity : (n_users, k) probability of the item in its slot given the earlier slots; NaN in empty slots
    left_out : (n_users, n_candidates) why each candidate is not in the slate, codes of ``LeftOut``
    """

    candidates: Candidates
    round_number: int
    item: Ints
    score: Floats
    propensity: Floats
    left_out: Reasons

    @property
    def n_shown(self) -> Ints:
        """(n_users,) length of each slate."""
        return (self.item != NOBODY).sum(axis=1)

    @property
    def notes(self) -> "npt.NDArray[np.object_]":
        """(n_users,) why a slate is short, in words; empty text where all slots are filled."""
        k = self.item.shape[1]
        counts = np.stack([(self.left_out == reason).sum(axis=1) for reason in _LIMITING], axis=1)
        kinds, which = np.unique(np.column_stack([self.n_shown, counts]), axis=0, return_inverse=True)
        words = np.array([_note(int(kind[0]), k, kind[1:]) for kind in kinds], dtype=object)
        return words[which.reshape(-1)] if len(kinds) else np.empty(0, object)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per filled slot: user_id, slot (from 1), item_id, score, propensity."""
        row, slot = np.nonzero(self.item != NOBODY)
        return pd.DataFrame(
            {
                c.USER: np.asarray(self.candidates.user_id)[row],
                c.SLOT: slot + 1,
                c.ITEM: np.asarray(self.candidates.shelf.item_id)[self.item[row, slot]],
                "score": self.score[row, slot],
                c.PROPENSITY: self.propensity[row, slot],
            }
        )

    def left_out_frame(self) -> pd.DataFrame:
        """Return one row per candidate that is not in its user's slate: user_id, item_id, reason."""
        row, column = np.nonzero((self.left_out != LeftOut.IN_SLATE) & (self.left_out != LeftOut.NO_CANDIDATE))
        words = np.array([WORDS[reason] for reason in LeftOut], dtype=object)
        return pd.DataFrame(
            {
                c.USER: np.asarray(self.candidates.user_id)[row],
                c.ITEM: np.asarray(self.candidates.shelf.item_id)[self.candidates.item[row, column]],
                c.REASON: words[self.left_out[row, column]],
            }
        )

    def exposure(self) -> Floats:
        """Return (n_sellers,) exposure per user, in the order of ``Shelf.sellers``.

        A slot counts 1 / log2(1 + slot), slots from 1 (Singh and Joachims, KDD 2018).

        Raises
        ------
        PolicyError
            The shelf has no sellers.
        """
        shelf = self.candidates.shelf
        if shelf.seller_codes is None:
            raise PolicyError.of(
                found="A shelf without sellers", needed="the seller of every item", do="Pass seller to the shelf"
            )
        seller = np.append(shelf.seller_codes, NOBODY)[self.item]
        weight = np.broadcast_to(1 / np.log2(2 + np.arange(self.item.shape[1])), self.item.shape)
        known = seller != NOBODY
        total = np.bincount(seller[known], weights=weight[known], minlength=len(shelf.sellers))
        return total / max(len(self.item), 1)

    def summary(self) -> str:
        """Return what was filled and what kept candidates out, in words."""
        short = int((self.n_shown < self.item.shape[1]).sum())
        lines = [f"{len(self.item):,} slates of up to {self.item.shape[1]}; {short:,} are shorter."]
        counts = [(WORDS[reason], int((self.left_out == reason).sum())) for reason in _LIMITING]
        lines += [f"{n:,} candidates left out: {words}." for words, n in counts if n]
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """Return a Plotly figure: what became of the candidates, in shares."""
        import plotly.graph_objects as go

        reasons = [reason for reason in LeftOut if reason != LeftOut.NO_CANDIDATE]
        counts = np.array([(self.left_out == reason).sum() for reason in reasons])
        figure = go.Figure(go.Bar(x=counts / max(counts.sum(), 1), y=[WORDS[r] for r in reasons], orientation="h"))
        figure.update_layout(title="What became of the candidates", xaxis={"tickformat": ".0%"})
        figure.update_yaxes(autorange="reversed")
        return figure


_LIMITING = [r for r in LeftOut if r not in (LeftOut.IN_SLATE, LeftOut.NO_ROOM, LeftOut.NO_CANDIDATE)]


def _note(n_shown: int, k: int, counts: Ints) -> str:
    if n_shown == k:
        return ""
    reasons = [f"{n} {WORDS[reason]}" for reason, n in zip(_LIMITING, counts, strict=True) if n]
    return f"{n_shown} of {k} slots filled: {', '.join(reasons) or 'there were no more candidates'}."
