"""What is said to people beside the result: progress, and the library's words in the command line's spelling."""

import re
import sys


def flagged(message: str) -> str:
    """The library names a `learning_rate`; the command line spells the option that sets it."""
    return re.sub(r"`([a-z_]+)`", lambda name: "--" + name[1].replace("_", "-"), message)


def say(text: str) -> None:
    """A line of progress, for people; the result goes to standard output."""
    print(text, file=sys.stderr, flush=True)
