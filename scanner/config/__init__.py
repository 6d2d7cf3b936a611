"""Settings: one typed tree, from a file, the environment and options, in that order of growing weight.

A setting ``section.name`` is ``[section] name = …`` in the file and ``SCANNER_SECTION_NAME`` in the
environment (lists separated by commas). A section that there can be several of has a name of its own:
``[webhooks.NAME]``, ``SCANNER_WEBHOOKS_NAME_SECRET``. ``scanner settings`` lists them all.
"""

from scanner.config._explain import SettingInfo, explain_settings
from scanner.config._load import ENVIRONMENT_PREFIX, default_files, load_settings
from scanner.config._sections import (
    AdmissionSettings,
    AdvisoriesSettings,
    AttestSettings,
    ClientSettings,
    QueueSettings,
    RegistrySettings,
    RetentionSettings,
    ScanSettings,
    ServerSettings,
    Settings,
    StoreSettings,
    WebhookSettings,
)

__all__ = [
    "ENVIRONMENT_PREFIX",
    "AdmissionSettings",
    "AdvisoriesSettings",
    "AttestSettings",
    "ClientSettings",
    "QueueSettings",
    "RegistrySettings",
    "RetentionSettings",
    "ScanSettings",
    "ServerSettings",
    "SettingInfo",
    "Settings",
    "StoreSettings",
    "WebhookSettings",
    "default_files",
    "explain_settings",
    "load_settings",
]
