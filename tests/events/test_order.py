from whybuy.events.order import natural


def test_numbers_in_ids_are_ordered_by_size():
    assert sorted(["10", "2", "1", "11"], key=natural) == ["1", "2", "10", "11"]
    assert sorted(["mail10b", "mail9", "mail", "8", "mail10a"], key=natural) == [
        "8",
        "mail",
        "mail9",
        "mail10a",
        "mail10b",
    ]


def test_leading_zeros_and_many_digits():
    many = "9" * 5_000
    assert sorted([many, "010", "9", "10"], key=natural) == ["9", "010", "10", many]
