"""Where a report goes: to standard output, or whole to a file."""

from __future__ import annotations

import glob
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from scanner.discovery import report_formats
from scanner.errors import SettingsError
from scanner.layers.cache_files import remove_abandoned
from scanner.model import ScanReport


def write_report(report: ScanReport, format_name: str, output: Path | None) -> None:
    """Write a report in a format; ``output`` None is standard output, with colours on a terminal.

    Raises:
        SettingsError: the file cannot be written.
    """
    chosen = report_formats()[format_name]
    if output is None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        width = shutil.get_terminal_size((100, 24)).columns
        chosen.write(report, sys.stdout, colour, width)
        sys.stdout.flush()
        return
    text = io.StringIO()
    chosen.write(report, text, False, 100)  # noqa: FBT003 - colour
    try:
        _replace(output, text.getvalue())
    except OSError as error:
        raise SettingsError(str(output), error.strerror or "cannot be written") from error


def _replace(path: Path, text: str) -> None:
    """Write a whole file or none: a killed scan must not leave half a report.

    What is no regular file (a device, a pipe) is written to, never replaced; a link's target is what is meant.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    remove_abandoned(path.parent, f".{glob.escape(path.name)}.*.tmp")
    prefix = f".{path.name}.{os.getpid()}."
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=prefix, suffix=".tmp", delete=False
    ) as temporary:
        name = Path(temporary.name)
        try:
            temporary.write(text)
            temporary.flush()
            name.replace(path)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
