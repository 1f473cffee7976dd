"""The parameters of ``run``, each declared once, and the configuration made of them."""

from asyncred.runtime.config.data import LAYOUT, PHASE, STARTS, DataConfig, FilesConfig
from asyncred.runtime.config.denoiser import DenoiserConfig
from asyncred.runtime.config.load import RunConfig, file_or_name, load_config
from asyncred.runtime.config.machine import MachineConfig
from asyncred.runtime.config.stopping import EPOCHS, StoppingConfig
from asyncred.runtime.config.update import UpdateConfig

__all__ = [
    "EPOCHS",
    "LAYOUT",
    "PHASE",
    "STARTS",
    "DataConfig",
    "DenoiserConfig",
    "FilesConfig",
    "MachineConfig",
    "RunConfig",
    "StoppingConfig",
    "UpdateConfig",
    "file_or_name",
    "load_config",
]
