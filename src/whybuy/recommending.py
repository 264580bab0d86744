"""Recommendations for one user at a time, from what was opened once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whybuy.config import Config
from whybuy.pipeline import Pipeline

if TYPE_CHECKING:
    from whybuy.recommend.answer import Recommendations
    from whybuy.recommend.answerer import Answerer


@dataclass(frozen=True, eq=False)
class Recommender:
    """The catalog in memory and what is known of users on disk: an answer takes milliseconds.

    Attributes
    ----------
    answerer : what answers, by ids of the log
    config : says how many items an answer has, and whether ids are pseudonyms
    """

    answerer: "Answerer"
    config: Config

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Recommender":
        """Return who answers from a workspace, its recommend stage brought up to date.

        Raises
        ------
        WhybuyError
            The log, the config or the workspace cannot be used.
        """
        from whybuy.recommend.answerer import Answerer

        pipeline.run("recommend")
        return cls(Answerer.open(pipeline.folder("recommend")), pipeline.config)

    def answer(self, user_id: str, k: int | None = None) -> "Recommendations":
        """Return ``k`` items for a user, the config's k where None; whom the log does not know gets a cold answer.

        Raises
        ------
        QuestionError
            ``k`` is not positive.
        ConfigError
            Ids are pseudonyms, and their key is missing.
        """
        return self.answerer.answer(self._id_in_log(user_id), self.config.recommend.k if k is None else k)

    def _id_in_log(self, user_id: str) -> str:
        """Return the id that the log knows the user by, the given one where it knows neither."""
        from whybuy.trust.privacy import key_from_environment, pseudonyms

        privacy, people = self.config.privacy, self.answerer.people
        if not privacy.pseudonymize or user_id in people:
            return user_id
        hidden = pseudonyms([user_id], key_from_environment(privacy.key_variable))[0]
        return hidden if hidden in people else user_id
