"""Where the files of a data set are, and reading them so that what is wrong is told with the file's name."""

import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from telejax.errors import check_path

VARIABLE = "TELEJAX_DATA"


def folders(data_dir: str | os.PathLike[str] | None, subfolders: Sequence[str], system: Sequence[str]) -> list[Path]:
    """Where to look: the folder given or else $TELEJAX_DATA and the system's; each also in its subfolders."""
    if data_dir is not None:
        roots = [Path(check_path("data_dir", data_dir))]
    else:
        roots = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
    inside = [place for root in roots for place in (root, *(root / name for name in subfolders))]
    return inside if data_dir is not None else inside + [Path(one) for one in system]


def find(names: Sequence[str], places: Sequence[Path], remedy: str) -> Path:
    """The first existing file of any of these names, or a FileNotFoundError: where it looked, how to get it."""
    for place in places:
        for name in names:
            if os.path.isfile(place / name):  # False too where the name is too long
                return place / name
    looked = f" in {', '.join(map(str, places))}" if places else f": neither a folder is given nor ${VARIABLE} set"
    raise FileNotFoundError(f"no {' or '.join(names)}{looked}; {remedy}")


def read(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in .gz, or a ValueError that names it."""
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); fetch it again") from error
