"""How often something that is asked about happens in a log, and by how many users: behaviors and composites."""

import numpy as np

from whybuy.events.behaviors import Behavior
from whybuy.events.composites import Composite
from whybuy.events.log import EventLog
from whybuy.events.moments import Moments, in_moment, prefix_counts
from whybuy.events.sequences import SequenceStore, hits_in


def support(behavior: Behavior, store: SequenceStore, log: EventLog) -> tuple[int, int]:
    """Return how many events the behavior has in the log, and by how many users."""
    n_events = n_users = 0
    for sequences, shard in zip(store, log.shards, strict=True):
        hits = hits_in(sequences, shard, behavior, store.vocabulary)
        n_events += int(np.count_nonzero(hits))
        n_users += len(np.unique(sequences.event_user[np.flatnonzero(hits)]))
    return n_events, n_users


def completions(composite: Composite, store: SequenceStore, log: EventLog) -> tuple[int, int]:
    """Return how many moments of the log complete the composite, and of how many users."""
    n_moments = n_users = 0
    for sequences, shard in zip(store, log.shards, strict=True):
        moments = Moments.of(sequences, reach_ms=0)
        hits = np.stack([hits_in(sequences, shard, part, store.vocabulary) for part in composite.parts], axis=1)
        holds = in_moment(prefix_counts(hits.astype(np.uint8)), moments) > 0
        completed = holds[:, -1] & composite.completable(holds[:, :-1], moments)
        n_moments += int(np.count_nonzero(completed))
        n_users += len(np.unique(moments.user[completed]))
    return n_moments, n_users
