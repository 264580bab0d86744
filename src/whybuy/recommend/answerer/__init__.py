"""The answer for one user in milliseconds: what answers need stays in memory, what people did in mapped files.

``people`` writes, at build, what is known of every user, by the same SQL that answers everybody; ``shop`` holds the
catalog as arrays; ``line`` makes the candidates of one user and puts them in order, as ``candidates`` and ``ranking``
do for many; ``answerer`` words what comes out. A test holds every row of the two ways against each other.
"""

from whybuy.recommend.answerer.answerer import Answerer

__all__ = ["Answerer"]
