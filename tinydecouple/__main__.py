"""Start the command line so that Ctrl-C ends it in one line at any moment, while it loads and while it ends, too."""

import os
import signal
import sys
from types import FrameType


def start() -> None:
    """Run tinydecouple.cli.main; exit code 130 after Ctrl-C, whatever it interrupted.

    An import or a C extension that is interrupted may raise an error of its own instead of KeyboardInterrupt, so the
    signal is remembered.
    """
    pressed: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        while (fd := os.open(os.devnull, os.O_RDWR)) < 3:  # a stream closed by the caller: no file may get its number
            pass
        os.close(fd)
        from tinydecouple.cli import main
        main()
    except BaseException as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not pressed:
            raise
        if not isinstance(error, SystemExit):  # else the command line has said so
            print("tinydecouple: interrupted", file=sys.stderr, flush=True)
        sys.exit(130)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt


if __name__ == "__main__":
    start()
