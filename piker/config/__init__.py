"""Where piker keeps its files, and what the user set in ``conf.toml``.

Leaf package. Nothing is read when it is imported: each call looks anew, so a
process that learns its folders late (a child of a test's tree) finds the right ones.
It must never open ``brokers.toml``: only ``brokerd`` may.
"""

from ._addr import parse_addr as parse_addr, show_addr as show_addr
from ._dirs import (
    Dirs as Dirs,
    cache_dir as cache_dir,
    config_dir as config_dir,
    current_dirs as current_dirs,
    is_for_looks as is_for_looks,
    make_private as make_private,
    mark_for_looks as mark_for_looks,
    runtime_dir as runtime_dir,
    state_dir as state_dir,
    use_dirs as use_dirs,
)
from ._load import (
    CONF_NAME as CONF_NAME,
    ENV_REGISTRY as ENV_REGISTRY,
    load_broker_config as load_broker_config,
    load_config as load_config,
    registry_addr as registry_addr,
)
from ._schema import (
    BROKERS as BROKERS,
    ClearingConf as ClearingConf,
    Config as Config,
    DataConf as DataConf,
    FeeConf as FeeConf,
    LogConf as LogConf,
    PaperConf as PaperConf,
    PikerdConf as PikerdConf,
    RiskConf as RiskConf,
    SessionFile as SessionFile,
    SimConf as SimConf,
    UiConf as UiConf,
)
from ._secrets import (
    SECRETS_NAME as SECRETS_NAME,
    check_secrets_file as check_secrets_file,
    secrets_stamp as secrets_stamp,
)
from ._templates import write_templates as write_templates
