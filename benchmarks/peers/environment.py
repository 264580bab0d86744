"""Virtual environments of peers whose pins clash with ours, made on demand beside their lists of pins.

    python = environment("rectools")  # benchmarks/peers/rectools/, made by pip from benchmarks/peers/rectools.txt
    subprocess.run([python, "benchmarks/peers/rectools_ranker.py", ...], check=True)

An environment is used again as long as its list of pins and the version of Python are those that it was made with.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
STAMP = "made-from.sha256"
TOLD_LINES = 20


def environment(name: str, folder: Path = FOLDER) -> Path:
    """Python of the environment ``folder/name``, which is made first where it is missing, stale or half-made.

    The stamp is written last, so that an environment whose making was cut off has none and is made again. Of several
    processes that ask at once one makes it and the others wait: the list of pins is the lock.
    """
    pins, home = folder / f"{name}.txt", folder / name
    python = home / "bin" / "python"
    with pins.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256(lock.read() + sys.version.encode()).hexdigest()
        stamp = home / STAMP
        if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
            shutil.rmtree(home, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(home)])
            run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(pins)])
            stamp.write_text(wanted)
    return python


def run(command: list[str]) -> None:
    """Run a step in silence; where it fails, end with the last lines of what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join(done.stdout.splitlines()[-TOLD_LINES:])
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{said}")


if __name__ == "__main__":
    print(environment(sys.argv[1]))
