"""Builds every cext/*.pyx and parsers/*.pyx.  Directives and build switches live here, nowhere else.

SENSOR_BUILD=debug turns checks and asserts on, and line tracing for coverage; =asan builds with the address and
undefined-behaviour sanitizers; =annotate also writes Cython's annotated HTML beside the sources.
"""
import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

KIND = os.environ.get("SENSOR_BUILD", "release")
FLAGS = {
    "release": ["-O3", "-fno-plt", "-g1"],
    "annotate": ["-O2", "-g1"],
    "debug": ["-O0", "-g"],
    "asan": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
}
WARNINGS = [
    "-Wall", "-Wextra", "-Werror",
    # what Cython's own boilerplate needs; our headers and functions get the rest
    "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-unused-variable", "-Wno-missing-field-initializers",
    "-Wno-cast-function-type", "-Wno-unused-but-set-variable", "-Wno-unreachable-code", "-Wno-type-limits",
]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": KIND == "debug",
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "nonecheck": False,
    "linetrace": KIND == "debug",
    "show_performance_hints": True,
}

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=["cext"],
        depends=[str(header) for header in sorted(Path("cext").glob("*.h"))],
        extra_compile_args=FLAGS[KIND] + WARNINGS,
        extra_link_args=[flag for flag in FLAGS[KIND] if flag.startswith("-fsanitize")],
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if KIND == "debug" else [],
    )
    for folder in ("cext", "parsers")
    for path in sorted(Path(folder).rglob("*.pyx"))
]

setup(ext_modules=cythonize(
    extensions,
    compiler_directives=DIRECTIVES,
    nthreads=0 if os.environ.get("SENSOR_SERIAL") else (os.cpu_count() or 1),
    annotate=KIND == "annotate",
    build_dir=f"build/{KIND}",
), options={"build_ext": {"parallel": os.cpu_count() or 1}})
