"""Runtime settings of loaded modules: device, precision, memory, threads, modes and hints."""

from __future__ import annotations

import enum
import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mnn.errors import SettingError
from mnn.expr.enums import Backend, MemoryMode, PowerMode, PrecisionMode
from mnn.records import dataclass, field, replace

__all__ = [
    "Hint",
    "RuntimeConfig",
    "RuntimeManager",
    "SessionMode",
    "create_runtime_manager",
]

MAX_CONFIGS = 5
# For GPU devices the number is a sum of tuning flags, which are larger than thread counts.
MAX_THREADS = 4096


class SessionMode(enum.IntEnum):
    """Modes of `RuntimeManager.set_mode` and `Interpreter.setSessionMode`."""

    DEBUG = 0
    RELEASE = 1
    INPUT_INSIDE = 2
    INPUT_USER = 3
    OUTPUT_INSIDE = 4
    OUTPUT_USER = 5
    RESIZE_DIRECT = 6
    RESIZE_DEFER = 7
    BACKEND_FIX = 8
    BACKEND_AUTO = 9
    MEMORY_COLLECT = 10
    MEMORY_CACHE = 11
    CODEGEN_DISABLE = 12
    CODEGEN_ENABLE = 13
    RESIZE_CHECK = 14
    RESIZE_FIX = 15
    FORWARD_SEPARATE = 16
    FORWARD_COMBINE = 17


class Hint(enum.IntEnum):
    """Hints of `RuntimeManager.set_hint`."""

    MAX_TUNING_NUMBER = 0
    STRICT_CHECK_MODEL = 1
    MEMORY_ALLOCATOR_TYPE = 2
    WINOGRAD_MEMORY_LEVEL = 3
    GEOMETRY_COMPUTE_MASK = 4
    DYNAMIC_QUANT_OPTIONS = 5
    LITTLE_CORE_RATE = 6
    ATTENTION_OPTION = 7
    KV_CACHE_LIMIT = 8
    ENCODER_NUMBER_PER_COMMIT = 9
    KV_CACHE_INFO = 10
    MMAP_FILE_SIZE = 11
    USE_CACHED_MMAP = 12
    INIT_THREAD_NUMBER = 13
    CPU_CORE_IDS = 14
    CPU_SME2_INSTRUCTIONS = 15
    CPU_ENABLE_KLEIDIAI = 16
    CPU_SME2_NEON_DIVISION_RATIO = 17
    CPU_SME_CORES = 18


@dataclass(frozen=True)
class RuntimeConfig:
    """One device with its settings.

    Attributes:
        backend: device; devices that are not available mean the CPU.
        precision, memory, power: see the enumerations in `mnn.expr`.
        threads: threads that kernels may use, None for those of `mnn.config`; for GPU devices the
            tuning mode.
        save_tensors: names of tensors to keep.
        input_paths, output_paths: names that bound the part of a model this device runs.
    """

    backend: Backend = Backend.CPU
    precision: PrecisionMode = PrecisionMode.Normal
    memory: MemoryMode = MemoryMode.Normal
    power: PowerMode = PowerMode.Normal
    threads: int | None = None
    save_tensors: tuple[str, ...] = ()
    input_paths: tuple[str, ...] = ()
    output_paths: tuple[str, ...] = ()


def _member(key: str, value: Any, kind: type[enum.IntEnum]) -> Any:
    """Return the member of `kind` meant by a number, a member or a name in any case."""
    names = {name.lower(): member for name, member in kind.__members__.items()}
    if isinstance(value, str):
        found = names.get(value.lower())
        if found is not None:
            return found
    elif not isinstance(value, bool):
        try:
            return kind(operator.index(value))
        except (TypeError, ValueError):
            pass
    raise SettingError(
        f"runtime config: {key}={value!r} is unknown. Expected one of {sorted(kind.__members__)} "
        f"or a number in {sorted(int(member) for member in kind)}."
    )


def _thread_count(value: Any) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if not 0 < number <= MAX_THREADS:
        raise SettingError(
            f"runtime config: numThread={value!r}, expected an int in 1..{MAX_THREADS}."
        )
    return number


def _names(key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise SettingError(f"runtime config: {key}={value!r}, expected a tuple of names.")
    if not all(isinstance(each, str) for each in value):
        raise SettingError(f"runtime config: {key}={value!r}, expected names (str) only.")
    return tuple(value)


def _parse(settings: Mapping[str, Any]) -> RuntimeConfig:
    if not isinstance(settings, Mapping):
        raise SettingError(
            f"runtime config: found {type(settings).__name__}, expected a dict such as "
            '{"backend": "CPU", "numThread": 4}.'
        )
    parsers: dict[str, tuple[str, Any]] = {
        "backend": ("backend", lambda value: _member("backend", value, Backend)),
        "precision": ("precision", lambda value: _member("precision", value, PrecisionMode)),
        "memory": ("memory", lambda value: _member("memory", value, MemoryMode)),
        "power": ("power", lambda value: _member("power", value, PowerMode)),
        "numThread": ("threads", _thread_count),
        "saveTensors": ("save_tensors", lambda value: _names("saveTensors", value)),
        "inputPaths": ("input_paths", lambda value: _names("inputPaths", value)),
        "outputPaths": ("output_paths", lambda value: _names("outputPaths", value)),
    }
    unknown = sorted(set(settings) - set(parsers))
    if unknown:
        raise SettingError(
            f"runtime config: unknown keys {unknown}. Expected some of {sorted(parsers)}."
        )
    config = RuntimeConfig()
    for key, value in settings.items():
        name, parse = parsers[key]
        config = replace(config, **{name: parse(value)})
    return config


@dataclass
class RuntimeManager:
    """Settings shared by the modules that are loaded with it.

    Attributes:
        configs: devices, the first one is used.
        modes: modes set so far.
        hints: hints set so far.
        cache_path: file for compiled kernels, "" for none.
        external_path: weight file for the next load, "" for the model's own.
    """

    configs: tuple[RuntimeConfig, ...] = (RuntimeConfig(),)
    modes: set[SessionMode] = field(default_factory=set)
    hints: dict[Hint, Any] = field(default_factory=dict)
    cache_path: str = ""
    external_path: str = ""

    def set_mode(self, mode: int) -> None:
        """Choose a session mode.

        Args:
            mode: member or number of `SessionMode`.

        Raises:
            ValueError: an unknown number.
        """
        self.modes.add(_member("mode", mode, SessionMode))

    def set_hint(self, hint: int, value: int | Sequence[int]) -> None:
        """Set a performance hint; hints never change results.

        Args:
            hint: member or number of `Hint`.
            value: an int, or a list of ints for `CPU_CORE_IDS`.

        Raises:
            ValueError: an unknown hint or a value of the wrong type.
        """
        known = _member("hint", hint, Hint)
        single = isinstance(value, int)
        several = isinstance(value, (list, tuple)) and all(isinstance(each, int) for each in value)
        if not single and not several:
            raise SettingError(
                f"set_hint: {known.name}={value!r}, expected an int or a list of ints."
            )
        self.hints[known] = value if isinstance(value, int) else tuple(value)

    def set_cache(self, path: str | os.PathLike[str]) -> None:
        """Name the file in which a device keeps compiled kernels."""
        self.cache_path = os.fspath(path)

    def update_cache(self) -> None:
        """Write the kernel cache. The NumPy backend compiles nothing and has nothing to write."""

    def set_external(self, path: str | os.PathLike[str]) -> None:
        """Name the weight file of the model that is loaded next."""
        self.external_path = os.fspath(path)


def create_runtime_manager(configs: Sequence[Mapping[str, Any]]) -> RuntimeManager:
    """Return a runtime for loading modules.

    Args:
        configs: one to five dicts with the keys `backend`, `precision`, `memory`, `power` (names
            or numbers), `numThread` (int), `saveTensors`, `inputPaths`, `outputPaths` (tuples of
            names).

    Raises:
        ValueError: no or too many configs, an unknown key or value.

    Example:
        >>> create_runtime_manager(({"backend": "CPU", "numThread": 2},)).configs[0].threads
        2
    """
    if isinstance(configs, (str, Mapping)) or not isinstance(configs, Sequence):
        raise SettingError(
            f"create_runtime_manager: found {type(configs).__name__}, expected a tuple of dicts. "
            "Write ({...},) for one."
        )
    if not 1 <= len(configs) <= MAX_CONFIGS:
        raise SettingError(
            f"create_runtime_manager: found {len(configs)} configs, expected 1 to {MAX_CONFIGS}."
        )
    return RuntimeManager(tuple(_parse(each) for each in configs))
