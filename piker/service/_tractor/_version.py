"""Which tractor this is, and its noise, silenced before it is imported.

Two versions are served: 0.1.0a5, the only release (python < 3.13, trio 0.22), and
the main branch. The release uses trio's names of its day, and trio warns at each
use; the names are given back to trio as plain attributes here, and children, which
import tractor before any code of ours runs, get a filter by environment.
"""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Final


def _is_release() -> bool:
    """Tell which it is by its layout: its metadata takes 20 ms to read, per process."""
    spec = find_spec("tractor")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("no tractor in this environment", name="tractor")
    return not (Path(spec.origin).parent / "runtime").is_dir()


A5: Final = _is_release()

_OLD_NAMES = ("MultiError", "NonBaseMultiError")
_CHILD_FILTERS = (
    tuple(
        f"ignore:{text}:FutureWarning"
        for text in ("trio.MultiError is", "MultiError", "trio.NonBaseMultiError")
    )
    if A5
    else ("ignore:XDG_RUNTIME_DIR is not set",)  # its platformdirs speaks up
)


def silence() -> None:
    """Make the import and the use of tractor free of warnings, here and in children."""
    told = [t for t in os.environ.get("PYTHONWARNINGS", "").split(",") if t]
    told += [t for t in _CHILD_FILTERS if t not in told]
    os.environ["PYTHONWARNINGS"] = ",".join(told)
    if A5:
        import trio

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in _OLD_NAMES:
                setattr(trio, name, getattr(trio, name))
            from trio._core import _multierror

            # tractor asks this of every error; trio's public spelling of it warns
            impl = _multierror._filter_impl  # noqa: SLF001
            plain = classmethod(lambda _, handler, root: impl(handler, root))
            setattr(trio.MultiError, "filter", plain)  # noqa: B010 - typed as final
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tractor  # noqa: F401 - imported here once, quietly


silence()
