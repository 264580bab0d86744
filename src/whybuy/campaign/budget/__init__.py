"""The best use of a budget: who gets which offer, what more of it would buy, and what a rule is worth on other people.

::

    offers = Offers(cost=[.02, .5], names=["mail", "coupon"], at_most={"coupon": 5_000})
    plan = spend(values, offers, budget=3_000)      # values: (n_people, n_offers), learned on other folds
    plan.summary(), plan.arm                        # 0 nothing, 1 mail, 2 coupon
    response_curve(values, offers).plot()
    policy_value(scores, plan.arm, cost=[0, .02, .5]).summary()
    policy_tree(X, scores).words()
"""

from whybuy.campaign.budget.curve import ResponseCurve, response_curve
from whybuy.campaign.budget.plan import BudgetPlan, spend
from whybuy.campaign.budget.problem import Offers
from whybuy.campaign.budget.tree import PolicyTree, policy_tree
from whybuy.campaign.budget.value import PolicyValue, policy_value

__all__ = [
    "Offers",
    "BudgetPlan",
    "spend",
    "ResponseCurve",
    "response_curve",
    "PolicyValue",
    "policy_value",
    "PolicyTree",
    "policy_tree",
]
