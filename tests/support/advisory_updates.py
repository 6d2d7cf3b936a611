"""Updates in processes of their own, to be killed or to meet each other."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from scanner import discovery
from scanner.advisories.local_source import SingleFileSource
from scanner.advisories.update import UpdateOptions, update_unit


class SlowSource(SingleFileSource):
    """Tells when it is asked, and takes its time."""

    def fetch(self, path, target, mark):
        Path(f"{self.name}.begun").touch()
        time.sleep(float(sys.argv[3]))
        return super().fetch(path, target, mark)


def main() -> None:
    directory, file = Path(sys.argv[1]), Path(sys.argv[2])
    options = UpdateOptions(directory=directory, wait_seconds=float(sys.argv[4]))
    done = update_unit("npm", discovery.feeds()["osv"], SlowSource(file), options)
    sys.stdout.write(done.outcome)


if __name__ == "__main__":
    main()
