import numpy as np

from tests.campaign.budget.people import draw_values
from whybuy.campaign.budget import Offers
from whybuy.campaign.budget.problem import Problem
from whybuy.campaign.budget.program import Program, dealt, kinds_of


def test_dealing_gives_everybody_what_is_due():
    """Kind 0 has three people, who are sent 2, 3 and 1 of three offers: two each. Kind 1 has one, who is sent one."""
    kind = np.array([0, 1, 0, 0])
    chosen = dealt(np.array([[2, 3, 1], [0, 0, 1]]), kind, np.arange(3))
    assert chosen[kind == 0].sum(axis=0).tolist() == [2, 3, 1]
    assert chosen.sum(axis=1).tolist() == [2, 1, 2, 2]
    assert chosen[1].tolist() == [False, False, True]


def test_dealing_gives_nobody_more_of_a_channel_than_is_due():
    """Offers 1 and 3 go by one channel, one message each: four messages of it to four people."""
    chosen = dealt(np.array([[2, 4, 2]]), np.zeros(4, int), np.array([0, 1, 0]))
    assert chosen.sum(axis=0).tolist() == [2, 4, 2]
    assert chosen[:, [0, 2]].sum(axis=1).tolist() == [1, 1, 1, 1]


def test_kinds_are_numbered_as_they_appear_and_costs_tell_them_apart():
    values = np.array([[1.0, 2], [3, 4], [1, 2], [1, 2]])
    everybody = np.arange(4)
    assert kinds_of(Problem.of(values, Offers(cost=[1, 1])), everybody[::-1]).tolist() == [0, 0, 1, 0]
    costs = np.array([[1.0, 1], [1, 1], [1, 1], [2, 1]])
    assert kinds_of(Problem.of(values, Offers(cost=costs)), everybody).tolist() == [0, 1, 0, 2]


def test_counting_people_who_are_alike_reaches_what_telling_them_apart_does():
    values, costs = draw_values(4, 0), np.tile([0.1, 0.3, 0.5, 0.8, 1.2], (4, 1))
    size, members = np.array([3, 1, 4, 2]), np.array([[0.0, 1, 1, 0, 0]])
    room = np.array([2.45, 3])

    def reached(repeats, size):
        program = Program(
            values=np.repeat(values, repeats, axis=0),
            costs=np.repeat(costs, repeats, axis=0),
            size=size,
            is_open=np.repeat(values, repeats, axis=0) > 0,
            members=members,
            per_person=2,
            channel=np.zeros(5, int),
            by_channel=np.array([2]),
        )
        counts, bound = program.solve(room, gap=0.0)
        assert (program.values * counts).sum() <= bound + 1e-9
        return (program.values * counts).sum()

    assert np.isclose(reached(1, size), reached(size, np.ones(10, int)))
