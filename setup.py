"""pip install without a ROS 2 installation; in a ROS 2 workspace colcon uses CMakeLists.txt.

The messages are generated and compiled by the same CMakeLists.txt, with the ROS 2 found in this
environment: the wheels, or a sourced installation. Where there is none (or no compiler), the
package installs without messages: lram_core and lram_sim work, the nodes do not.
LRAM_ROS_INTERFACES=on|off|auto (default) makes a missing ROS 2 an error, or never builds them.

The runtime ``native`` is a small C library. Without a C compiler the package installs without it,
and runs models on PyTorch; LRAM_NATIVE=on|off|auto (default) as above.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.dist import Distribution

ROOT = Path(__file__).parent.resolve()
INTERFACES, NATIVE = "lram_ros._interfaces", "lram_core.native._library"
NATIVE_LIBRARY = "liblram_native.so"
INTERFACE_SOURCES = ("CMakeLists.txt", "package.xml", "cmake", "msg", "srv")


def find_ros() -> tuple[list[str], dict[str, str]] | None:
    """Prefixes of the ROS 2 to build against and the environment cmake needs; None without one.

    pip's build isolation hides both kinds of ROS 2 from this process, through PYTHONPATH; the
    Python that cmake starts gets an environment without that.
    """
    sourced = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    known = list(dict.fromkeys([sys.prefix, *sourced]))
    if not any(Path(p, "share", "rosidl_generator_py").is_dir() for p in known):
        return None
    hidden = ("PYTHONPATH", "PYTHONNOUSERSITE")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    env["AMENT_PREFIX_PATH"] = os.pathsep.join(known)
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    modules = [f for p in sourced for f in glob(f"{p}/**/{python}/*-packages", recursive=True)]
    if modules:
        env["PYTHONPATH"] = os.pathsep.join(modules)
    if not all(shutil.which(tool, path=env["PATH"]) for tool in ("cmake", "c++")):
        return None
    return known, env


def find_compiler() -> str | None:
    """The C compiler to call: ``CC``, or the usual names."""
    names = filter(None, [os.environ.get("CC"), "cc", "gcc", "clang"])
    return next((name for name in names if shutil.which(name)), None)


class BuildLibraries(build_ext):
    """Builds the messages and the native library, each into its Python package."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == NATIVE:
            self._build_native()
        else:
            self._build_interfaces()

    def _build_native(self) -> None:
        """The same call as CMakeLists.txt makes."""
        source = ROOT / "lram_core" / "native" / "src"
        target = Path(self.build_lib).resolve() / "lram_core" / "native" / NATIVE_LIBRARY
        target.parent.mkdir(parents=True, exist_ok=True)
        compiler = find_compiler()
        assert compiler is not None
        command = [
            *(compiler, "-std=gnu11", "-O3", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread"),
            *("-fvisibility=hidden", *sorted(map(str, source.glob("*.c"))), "-o", str(target)),
            "-lm",
        ]
        if subprocess.run(command, check=False).returncode:
            if os.environ.get("LRAM_NATIVE") == "on":
                sys.exit(f"lram_ros: cannot build the native library with {compiler}")
            target.unlink(missing_ok=True)
            print(f"lram_ros: no native library, {compiler} failed", file=sys.stderr)

    def _build_interfaces(self) -> None:
        ros = find_ros()
        assert ros is not None
        stage = self._cmake(*ros)
        self._collect(stage, Path(self.build_lib).resolve() / "lram_ros")

    def _cmake(self, prefixes: list[str], env: dict[str, str]) -> Path:
        build = Path(self.build_temp).resolve() / "interfaces"
        shutil.rmtree(build, ignore_errors=True)
        source, stage = build / "source", build / "stage"
        source.mkdir(parents=True)
        # A copy outside the tree: cmake refuses include folders below the source folder, and numpy
        # is there when the virtual environment lies inside the repository.
        for name in INTERFACE_SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / name)
            else:
                shutil.copy(ROOT / name, source)
        ninja = ["-G", "Ninja"] if shutil.which("ninja", path=env["PATH"]) else []
        configure = [
            *("cmake", "-S", str(source), "-B", str(build), *ninja, "-Wno-dev"),
            "-DLRAM_INTERFACES_ONLY=ON",
            "-DBUILD_TESTING=OFF",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_PREFIX_PATH={';'.join(prefixes)}",
            f"-DCMAKE_INSTALL_PREFIX={stage}",
            "-DCMAKE_INSTALL_RPATH=$ORIGIN;$ORIGIN/_lib",
            f"-DPython3_EXECUTABLE={sys.executable}",
        ]
        jobs = str(os.cpu_count() or 1)
        for command in (
            configure,
            ["cmake", "--build", str(build), "--parallel", jobs],
            ["cmake", "--install", str(build)],
        ):
            subprocess.run(command, env=env, check=True)
        return stage

    def _collect(self, stage: Path, package: Path) -> None:
        """Classes and definitions into msg/ and srv/, type supports into the package and _lib/."""
        generated = next(path.parents[1] for path in stage.glob("**/lram_ros/msg/__init__.py"))
        ignore = shutil.ignore_patterns("*.c", "__pycache__")
        for kind in ("msg", "srv"):
            shutil.rmtree(package / kind, ignore_errors=True)
            shutil.copytree(generated / kind, package / kind, ignore=ignore)
            for definition in (stage / "share" / "lram_ros" / kind).iterdir():
                shutil.copy(definition, package / kind)
        for extension in generated.glob("*.so"):
            shutil.copy(extension, package)
        shutil.rmtree(package / "_lib", ignore_errors=True)
        (package / "_lib").mkdir()
        for library in (stage / "lib").glob("*.so"):
            shutil.copy(library, package / "_lib")

    def get_outputs(self) -> list[str]:
        return []

    def copy_extensions_to_source(self) -> None:
        """Editable install: the result lies beside the sources, where git ignores it."""
        names = [ext.name for ext in self.extensions]
        if NATIVE in names:
            folder = Path("lram_core", "native")
            built = Path(self.build_lib) / folder / NATIVE_LIBRARY
            if built.is_file():
                # Replaced, not overwritten: a process may have the old one mapped.
                shutil.copy(built, ROOT / folder / f".{NATIVE_LIBRARY}")
                os.replace(ROOT / folder / f".{NATIVE_LIBRARY}", ROOT / folder / NATIVE_LIBRARY)
        if INTERFACES in names:
            self._copy_interfaces_to_source()

    def _copy_interfaces_to_source(self) -> None:
        built, package = Path(self.build_lib) / "lram_ros", ROOT / "lram_ros"
        for old in package.glob("*.so"):
            old.unlink()
        for name in ("msg", "srv", "_lib"):
            shutil.rmtree(package / name, ignore_errors=True)
            shutil.copytree(built / name, package / name)
        for extension in built.glob("*.so"):
            shutil.copy(extension, package)


class DistributionWithData(Distribution):
    """Editable installs leave data_files out unless the distribution says that it has data."""

    def has_data(self) -> bool:
        return bool(self.data_files)


def mode_of(variable: str) -> str:
    mode = os.environ.get(variable, "auto")
    if mode not in ("on", "off", "auto"):
        sys.exit(f"lram_ros: {variable} is {mode!r}; expected on, off or auto")
    return mode


def with_interfaces() -> bool:
    mode = mode_of("LRAM_ROS_INTERFACES")
    found = mode != "off" and find_ros() is not None
    if mode == "on" and not found:
        sys.exit(
            "lram_ros: cannot build the messages: no ROS 2 (wheels in this environment, or a "
            "sourced installation), no cmake or no C++ compiler"
        )
    if not found:
        print("lram_ros: messages are not built, the ROS 2 nodes will not run", file=sys.stderr)
    return found


def with_native() -> bool:
    mode = mode_of("LRAM_NATIVE")
    found = mode != "off" and find_compiler() is not None
    if mode == "on" and not found:
        sys.exit("lram_ros: cannot build the native library: no C compiler (cc, gcc, clang)")
    if not found:
        print("lram_ros: no native library, models run on PyTorch", file=sys.stderr)
    return found


def shared_files() -> list[tuple[str, list[str]]]:
    """What a ROS 2 installation has under share/ and lib/: index marker, launch, config, models."""
    share = "share/lram_ros"
    files = [
        ("share/ament_index/resource_index/packages", ["resource/lram_ros"]),
        (share, ["package.xml"]),
        (f"{share}/launch", sorted(glob("launch/*.launch.py"))),
        (f"{share}/config", sorted(glob("config/*.yaml"))),
        (f"{share}/config/models", sorted(glob("config/models/*.xml"))),
        (f"{share}/config/params", sorted(glob("config/params/*.yaml"))),
        ("lib/lram_ros", sorted(glob("scripts/*"))),
    ]
    for bundle in sorted(glob("models/*/policy.yaml")):
        folder = Path(bundle).parent
        files.append((f"{share}/{folder}", sorted(str(f) for f in folder.iterdir() if f.is_file())))
    return files


setup(
    packages=find_packages(include=["lram_core*", "lram_ros*"]) + find_packages("sim"),
    package_dir={"lram_sim": "sim/lram_sim"},
    package_data={
        "lram_core": ["py.typed", "native/*.so", "report/*.jinja"],
        "lram_sim": ["py.typed", "expert_weights/*.safetensors"],
        "lram_ros": [
            *("py.typed", "*.so", "_lib/*.so", "msg/*", "srv/*"),
        ],
    },
    data_files=shared_files(),
    ext_modules=[
        *([Extension(INTERFACES, [])] if with_interfaces() else []),
        *([Extension(NATIVE, [])] if with_native() else []),
    ],
    cmdclass={"build_ext": BuildLibraries},
    distclass=DistributionWithData,
)
