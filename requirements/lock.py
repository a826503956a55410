"""Write the pins of `make install` for the running Python: ``python requirements/lock.py requirements/py312.txt``."""

import json
import subprocess
import sys
from pathlib import Path

RESOLVE = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]


def main(target: str) -> None:
    """Resolve the project with all its extras and write one ``name==version`` a line."""
    report = json.loads(subprocess.run([*RESOLVE, ".[dev,evals,synth]"], check=True, stdout=subprocess.PIPE).stdout)
    pins = {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in report["install"]
    }
    pins.pop("osler")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    head = f"# What `make install` installs on Python {version}; made by `make lock`.\n"
    Path(target).write_text(head + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins)))


if __name__ == "__main__":
    main(sys.argv[1])
