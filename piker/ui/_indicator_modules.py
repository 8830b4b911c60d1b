"""Modules of the user's that add indicators."""

from __future__ import annotations

import importlib
import sys

from piker import config
from piker.config import UiConf
from piker.errors import ConfigError, PikerError

from .indicators import parse


def load_indicators(conf: UiConf) -> None:
    """Import the configured modules, and see that all configured indicators are known.

    They are looked for where Python looks for modules, and in the config folder.
    Raises ConfigError, which names the key and what is wrong with it.
    """
    folder = str(config.config_dir())
    if conf.indicator_modules and folder not in sys.path:
        sys.path.append(folder)
    for name in conf.indicator_modules:
        try:
            importlib.import_module(name)
        except Exception as err:  # noqa: BLE001 - whatever a module of the user's raises
            raise ConfigError(
                f"conf.toml: ui.indicator_modules: {name!r} can't be imported: {err!r}"
            ) from None
    for text in conf.indicators:
        try:
            parse(text)
        except PikerError as err:
            raise ConfigError(f"conf.toml: ui.indicators: {err}") from None
