"""What a memory with a bound forgets."""

from __future__ import annotations

from devops_reconciler.runtime.recent import Recent


def test_what_was_used_last_is_remembered() -> None:
    memory: Recent[str, int] = Recent(2)
    assert memory.put("a", 1) == 1
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert [memory.get(key) for key in "abc"] == [1, None, 3]
    assert "b" not in memory


def test_a_new_value_of_what_is_remembered_takes_no_room() -> None:
    memory: Recent[str, int] = Recent(2)
    for value in range(5):
        memory.put("a", value)
        memory.put("b", value)
    assert [memory.get(key) for key in "ab"] == [4, 4]
    assert len(memory) == 2


def test_what_is_to_be_kept_goes_last() -> None:
    memory: Recent[str, int] = Recent(3)

    def large(value: int) -> bool:
        return value >= 10

    for key, value in (("a", 10), ("b", 1), ("c", 11), ("d", 2)):
        memory.put(key, value, keep=large)
    assert [key for key in "abcd" if key in memory] == ["a", "c", "d"]
    memory.put("e", 12, keep=large)
    assert [key for key in "acde" if key in memory] == ["a", "c", "e"]
    memory.put("f", 3, keep=large)
    assert [key for key in "acef" if key in memory] == ["c", "e", "f"], "the new one is always remembered"
