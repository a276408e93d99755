"""How the process is set up before any array is made: memory, and compiled programs kept between runs."""

import os
import platform
import sys
from pathlib import Path

_TUNABLES = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.mmap_max=0",
        "glibc.malloc.trim_threshold=68719476736",
        "glibc.malloc.top_pad=268435456",
    )
)


def keep_memory() -> None:
    """Restarts the program once with an allocator that keeps its memory, in large pages.

    On a CPU each training step takes and returns hundreds of megabytes; glibc would hand them back to the kernel and
    fault them in again, which takes a quarter of the step. glibc reads its settings only when a process starts.
    A GLIBC_TUNABLES of the user's own is left alone.
    """
    if platform.libc_ver()[0] == "glibc" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = _TUNABLES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_compiled() -> None:
    """Keeps compiled programs in ~/.cache/magenta_lite/jax, or where JAX_COMPILATION_CACHE_DIR says."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "magenta_lite" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
