"""Delete a run, and nothing else: the files that a run and the commands on it write, by name.

A name that is not listed here is somebody's own, and `overwrite` refuses. Who lets a command write
another file into a run adds its name.
"""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import LOCK, TEMPORARY, locked, real, sync

RUN = ("config.json", "log.jsonl", "checkpoint.pt", "checkpoint-before.pt", "scores.json",
       "table.md", "watch.html")
RESULTS = ("scores.json", "table.md", "translations.tsv", "code_length.png", "angles.png",
           "states.png", "gains.png", "training.png")
FOLDERS = ("dev", "test", "probe-train", "probe-dev", "probe-test", "figures")


def in_passing(name: str) -> bool:
    """Whether a file is a lock or was being written when its process was killed."""
    return name == LOCK or name.startswith(TEMPORARY)


def clear(run: Path, config: dict[str, Any], asked: dict[str, Any]) -> None:
    """Delete the files of a run whose lock we hold; the folder stays, config.json goes last.

    config: the run's own; asked: that of the run which takes its place. Raises TinyDecoupleError,
    before anything is deleted, if the folder holds another file, or what `asked` reads, or if
    another process writes there.
    """
    folders = {run: RUN, **_parts(run, config)}
    foreign = [path for folder, names in folders.items() for path in sorted(folder.iterdir())
               if not _ours(path, names, folders)]
    if foreign:
        more = f" and {len(foreign) - 1} more" * (len(foreign) > 1)
        raise TinyDecoupleError(f"{foreign[0]}{more}: no part of the run in {run}, so `overwrite` "
                                "deletes nothing; move it elsewhere or choose another `run`")
    for name, value in asked.get("corpus", {}).items():
        if isinstance(value, str) and value and Path(value).exists():
            place = real(Path(value))
            if real(run) in (place, *place.parents):
                raise TinyDecoupleError(f"`{name}` {value}: lies in the run that `overwrite` would "
                                        "delete; move it elsewhere or choose another `run`")
    inside = [folder for folder in folders if folder != run]
    with ExitStack() as locks:
        for folder in inside:
            locks.enter_context(locked(folder))
        for folder, names in folders.items():
            for name in reversed(names):  # config.json last: until then it is known for a run
                if folder != run or name != "config.json":
                    (folder / name).unlink(missing_ok=True)
    for folder in reversed(inside):
        with suppress(OSError):  # not empty: another process has begun something there
            folder.rmdir()
    sync(run)
    (run / "config.json").unlink()
    sync(run)


def _ours(path: Path, names: tuple[str, ...], folders: dict[Path, tuple[str, ...]]) -> bool:
    if path.is_dir() and not path.is_symlink():
        return path in folders
    return path.name in names or in_passing(path.name)


def _parts(run: Path, config: dict[str, Any]) -> dict[Path, tuple[str, ...]]:
    """Folders inside a run that belong to it, with the names of the files they may hold."""
    runs = {}
    if config["kind"] in ("demo", "rerun"):
        made = config.get("of", config)  # a rerun holds what the run of its configuration was
        runs = {run / name: RUN for name in ("pretrained", "finetuned", *_arms(made))}
    parts = {folder / name: RESULTS for folder in (run, *runs) for name in FOLDERS}
    return {folder: names for folder, names in {**runs, **parts}.items()
            if folder.is_dir() and not folder.is_symlink() and not folder.parent.is_symlink()}


def _arms(config: dict[str, Any]) -> list[str]:
    """The arms of a demo; a name that leads out of its folder is none, whoever wrote it there."""
    names = [arm.get("name") for arm in config.get("arms", ())]
    return [name for name in names
            if isinstance(name, str) and Path(name).name == name and name not in ("", "..")]
