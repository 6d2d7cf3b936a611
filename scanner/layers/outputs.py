"""What analyzers yield of one layer, bounded, by the file that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from scanner.errors import InputError, LimitExceededError
from scanner.layers.hits import Span
from scanner.model import FileIssue, Finding, Kept, Kind, LimitHit, OwnedFiles, Package
from scanner.ports import Limits, Output

_REASON_CHARS: Final = 300


class OutputSet:
    """Outputs by path: an entry that occurs again in the layer replaces what its namesake gave."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_path: dict[bytes, list[Output]] = {}
        self._issues: list[FileIssue] = []
        self._limit_hits: dict[tuple[str, str], LimitHit] = {}
        self._count = 0
        self._kept_bytes = 0

    def replaced(self, path: bytes) -> None:
        """An entry at ``path`` begins. Secrets of the earlier one stay: its bytes can still be pulled."""
        if path in self._by_path:
            secrets = [o for o in self._by_path.pop(path) if _is_secret(o)]
            if secrets:
                self._by_path[path] = secrets

    def extend(self, path: bytes, outputs: Iterable[Output], span: Span | None = None) -> None:
        """Add what an analyzer yields for ``path``; with ``span``, the same thing once per file."""
        for output in outputs:
            if span is not None and not _first(output, span):
                continue
            if not self._fits(output):
                return
            if isinstance(output, FileIssue):
                self._issues.append(output)
            else:
                self._by_path.setdefault(path, []).append(output)

    def _fits(self, output: Output) -> bool:
        self._count += 1
        if self._count > self._limits.outputs_count:
            self.limit("outputs_count", self._limits.outputs_count, "")
            return False
        if isinstance(output, Kept):
            self._kept_bytes += len(output.data)
        elif isinstance(output, OwnedFiles):
            self._kept_bytes += len(output.paths)
        if self._kept_bytes > self._limits.kept_bytes:
            self.limit("kept_bytes", self._limits.kept_bytes, "")
            return False
        return True

    def issue(self, path: str, reason: str, code: str, analyzer: str = "") -> None:
        """Note a file that was not looked at as it should have been."""
        self.extend(
            b"",
            [FileIssue(path=path, reason=reason[:_REASON_CHARS], code=code, analyzer=analyzer)],
        )

    def limit(self, name: str, allowed: float, path: str, analyzer: str = "") -> None:
        """Note a limit that was hit; of each limit and analyzer the first path is kept."""
        self._limit_hits.setdefault(
            (name, analyzer), LimitHit(limit=name, allowed=allowed, path=path)
        )

    @contextmanager
    def guard(self, analyzer: str, path: str) -> Iterator[None]:
        """Turn what an analyzer raises for one file into an issue: a bad file never fails a scan."""
        try:
            yield
        except LimitExceededError as error:
            self.limit(error.limit, error.allowed, path, analyzer)
        except InputError as error:
            reason = getattr(error, "reason", str(error))
            self.issue(path, reason, error.code, analyzer)
        except Exception as error:  # noqa: BLE001 - a defect of ours; its message may quote the file
            self.issue(
                path, f"analyzer failed: {type(error).__name__}", "analyzer-failed", analyzer
            )

    def all(self) -> list[Output]:
        """Everything, issues last."""
        return [o for outputs in self._by_path.values() for o in outputs] + list(self._issues)

    def collected(self) -> dict[str, Any]:
        """The fields of a ``LayerReport`` that hold outputs."""
        every = [o for outputs in self._by_path.values() for o in outputs]
        return {
            "packages": tuple(o for o in every if isinstance(o, Package)),
            "findings": tuple(o for o in every if isinstance(o, Finding)),
            "kept": tuple(o for o in every if isinstance(o, Kept)),
            "owned": tuple(o for o in every if isinstance(o, OwnedFiles)),
            "issues": tuple(self._issues),
            "limits": tuple(self._limit_hits.values()),
        }


def _is_secret(output: Output) -> bool:
    return isinstance(output, Finding) and output.kind is Kind.SECRET


def _first(output: Output, span: Span) -> bool:
    """Whether this thing is met for the first time in the file."""
    if isinstance(output, Finding):
        key = (output.rule_id, output.identity)
    elif isinstance(output, Package):
        key = (output.purl, "")
    else:
        return True
    if span.seen is None:
        span.seen = set()
    if key in span.seen:
        return False
    span.seen.add(key)
    return True
