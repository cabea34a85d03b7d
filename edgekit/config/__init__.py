"""What users write down: targets, projects, devices.

Three kinds of file are read: one TOML per target (`target`), a project's ``edgekit.toml`` (`project`), and the
user's own ``devices.toml`` (`devices`).
"""

from edgekit.config.devices import (
    check_device_keys,
    check_device_name,
    device_table,
    devices,
    devices_file,
    remove_device,
    write_device,
)
from edgekit.config.project import (
    FILE_NAME,
    METRICS,
    Project,
    from_keywords,
    is_function,
    memory_bytes,
    project,
    seconds,
)
from edgekit.config.targets import target, target_names, targets_path

__all__ = [
    "FILE_NAME",
    "METRICS",
    "Project",
    "check_device_keys",
    "check_device_name",
    "device_table",
    "devices",
    "devices_file",
    "from_keywords",
    "is_function",
    "memory_bytes",
    "project",
    "remove_device",
    "seconds",
    "target",
    "target_names",
    "targets_path",
    "write_device",
]
