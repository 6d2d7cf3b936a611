"""What people are told of a ruling: bounded, and printable whatever images and registries put into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from scanner.model import Decision
from scanner.ports.admission import JudgedImage, Ruling

MESSAGE_LENGTH: Final = 4_000
_IMAGE_LENGTH: Final = 200
_LINE_LENGTH: Final = 600
_ANNOTATION_LENGTH: Final = 1_000


def cut(text: str, most: int) -> str:
    """Return a text as one printable line of at most ``most`` characters."""
    shown = text[: most + 1]
    if not shown.isprintable():  # hardly ever, and one look is a hundred times cheaper
        shown = "".join(c if c.isprintable() else "?" for c in shown)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def image_line(judged: JudgedImage, most: int = _LINE_LENGTH) -> str:
    """Return an image with its reasons: ``reg.example/app:1: first; second; and 3 more``."""
    more = judged.reasons_count - len(judged.reasons)
    reasons = [*judged.reasons, f"and {more} more"] if more > 0 else judged.reasons
    return cut(f"{cut(judged.image, _IMAGE_LENGTH)}: {'; '.join(reasons)}", most)


def message_of(ruling: Ruling, most: int = MESSAGE_LENGTH) -> str:
    """Return why something is denied (or warned of), a line for each image, the pod first."""
    lines = [cut(ruling.note, _LINE_LENGTH)] if ruling.note else []
    if ruling.pod_reasons and ruling.pod_decision is ruling.decision:
        lines.append(cut("; ".join(ruling.pod_reasons), _LINE_LENGTH))
    lines += [image_line(one) for one in ruling.images if one.decision is ruling.decision]
    return _joined(lines, most)


def _joined(lines: list[str], most: int) -> str:
    """Return as many lines as fit, and how many do not."""
    text, shown = "", 0
    for line in lines:
        longer = f"{text}\n{line}" if text else line
        if len(longer) > most - 40:
            break
        text, shown = longer, shown + 1
    left = len(lines) - shown
    return f"{text}\nand {left} more" if left else text


def warnings_of(ruling: Ruling, *, each: int, total: int) -> list[str]:
    """Return what is warned of, one line a reason, bounded in characters; none of what is denied."""
    found: list[str] = []
    left = total
    for text in _warned(ruling):
        line = cut(text, each)
        left -= len(line.encode())
        if left < each:
            return [*found, "there is more; ask the scanner"]
        found.append(line)
    return found


def _warned(ruling: Ruling) -> Iterator[str]:
    if ruling.note:
        yield ruling.note
    if ruling.pod_decision is Decision.WARN:
        yield from ruling.pod_reasons
    for one in ruling.images:
        if one.decision is Decision.WARN:
            yield from (f"{cut(one.image, 60)}: {reason}" for reason in one.reasons)


def annotations_of(ruling: Ruling) -> Mapping[str, str]:
    """Return what an audit log should keep."""
    images = ", ".join(f"{cut(i.image, _IMAGE_LENGTH)}={i.decision}" for i in ruling.images)
    digests = ", ".join(i.digest for i in ruling.images if i.digest)
    found = {
        "decision": ruling.decision.value,
        "cause": ruling.cause.value,
        "note": cut(ruling.note, _ANNOTATION_LENGTH),
        "policy": cut(ruling.policy, _IMAGE_LENGTH),
        "policy-digest": ruling.policy_digest,
        "images": cut(images, _ANNOTATION_LENGTH),
        "digests": cut(digests, _ANNOTATION_LENGTH),
    }
    return {name: text for name, text in found.items() if text}
