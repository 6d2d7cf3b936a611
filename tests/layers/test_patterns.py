"""The pattern stream: handlers are kept alive, threads do not share a scratch, the cache is checked."""

from __future__ import annotations

import gc
import threading

import pytest

from scanner.layers.patterns import PatternSet
from scanner.ports import Pattern, PatternAnalyzer


def analyzer(*expressions: str, **changes: object) -> PatternAnalyzer:
    patterns = tuple(Pattern(e, e, **changes) for e in expressions)
    return PatternAnalyzer("x", 1, patterns, lambda _: ())


def test_the_handler_outlives_the_collector():
    """hyperscan keeps no reference to it: without one of ours this is a segmentation fault."""
    patterns = PatternSet([analyzer("abc")], None)
    with patterns.stream() as stream:
        gc.collect()
        junk = [bytes(100) for _ in range(10_000)]
        del junk
        gc.collect()
        assert stream.scan(b"..ab") == []
        assert stream.scan(b"c..abc") == [(5, 0), (10, 0)]


def test_threads_have_a_database_each():
    patterns = PatternSet([analyzer("needle[0-9]{4}")], None)
    results: list[int] = []

    def work() -> None:
        with patterns.stream() as stream:
            results.append(sum(len(stream.scan(b"hay needle1234 " * 5_000)) for _ in range(20)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [100_000] * 6


def test_the_dot_is_any_byte_and_case_counts_unless_told():
    with PatternSet([analyzer("a.b")], None).stream() as stream:
        assert stream.scan(b"a\nb a\0b A.b") == [(3, 0), (7, 0)]
    with PatternSet([analyzer("a.b", caseless=True)], None).stream() as stream:
        assert stream.scan(b"A.B") == [(3, 0)]


def test_no_patterns_no_hits():
    with PatternSet([], None).stream() as stream:
        assert stream.scan(b"anything") == []


def test_the_cache_is_used_and_a_spoilt_one_is_made_anew(tmp_path):
    PatternSet([analyzer("abc")], tmp_path)
    (cached,) = tmp_path.iterdir()
    for spoilt in (b"", b"short", bytes(100), cached.read_bytes()[:-1]):
        cached.write_bytes(spoilt)
        with PatternSet([analyzer("abc")], tmp_path).stream() as stream:
            assert stream.scan(b"abc") == [(3, 0)]
    PatternSet([analyzer("abd")], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("expression", ["(", "a{2,1}"])
def test_a_broken_pattern_is_refused(expression):
    with pytest.raises(ValueError, match="cannot be compiled"):
        PatternSet([analyzer(expression)], None)


def test_too_much_context_is_refused():
    with pytest.raises(ValueError, match="context"):
        PatternSet([analyzer("a", after=100_000)], None)
