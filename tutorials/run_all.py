"""Run all tutorials in order, with a clock: python tutorials/run_all.py [--figures]

--figures also copies the pictures that README.md and tutorials/README.md show, those of the tutorials and of
runs/demo (made by `python -m tinydecouple demo`), to tutorials/figures/.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = sorted(HERE.glob("[01][0-9]_*.py"))


def main(arguments: list[str]) -> int:
    if set(arguments) - {"--figures"}:
        print("run_all.py: unknown option; the only one is --figures", file=sys.stderr)
        return 2
    seconds = []
    for script in SCRIPTS:
        print(f"== {script.name}", flush=True)
        started = time.perf_counter()
        code = subprocess.run([sys.executable, str(script)]).returncode
        seconds.append((script.name, time.perf_counter() - started))
        if code:
            return code
    print("\n".join(f"{taken:5.0f} s  {name}" for name, taken in seconds))
    if "--figures" in arguments:
        runs = HERE.parent / "runs"
        pictures = [*(runs / "tutorials" / "figures").glob("*.png"), *(runs / "demo" / "figures").glob("*.png")]
        if not pictures:
            print("no figures to copy; pip install matplotlib, then again", file=sys.stderr)
            return 2
        for picture in pictures:
            shutil.copy(picture, HERE / "figures" / picture.name)
        print(f"{len(pictures)} figures copied to {HERE / 'figures'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
