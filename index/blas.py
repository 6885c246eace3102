"""Which linear algebra libraries are loaded, and whether they use what the processor has."""

from __future__ import annotations

from typing import Any

# kernels of OpenBLAS for processors without AVX
_SLOW = frozenset(
    {"Prescott", "Core2", "Penryn", "Dunnington", "Atom", "Nano", "Nehalem", "Katmai", "Coppermine",
     "Northwood", "Banias", "Opteron", "Opteron_SSE3", "Barcelona", "Athlon"}
)  # fmt: skip


def blas_report() -> list[dict[str, Any]]:
    """Return the BLAS libraries of NumPy, SciPy and FAISS.

    Returns
    -------
    list of dict
        `file`, `library`, `version`, `architecture` (the kernels it chose), `slow` (whether these
        leave AVX unused on a processor that has it).

    Notes
    -----
    The wheel of faiss-cpu may bundle an OpenBLAS that does not know newer processors. assay's own
    graph construction uses NumPy's; FAISS indexes use the bundled one. The environment variable
    OPENBLAS_CORETYPE (SkylakeX, Haswell), set before Python starts, chooses for both.

    Examples
    --------
    >>> all({"library", "slow"} <= set(found) for found in blas_report())
    True
    """
    import faiss  # noqa: F401
    import numpy as np  # noqa: F401
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    has_avx = _has_avx()
    return [
        {
            "file": library["filepath"].replace("\\", "/").rsplit("/", 1)[-1],
            "library": library["internal_api"],
            "version": library.get("version"),
            "architecture": library.get("architecture"),
            "slow": has_avx and library.get("architecture") in _SLOW,
        }
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]


def _has_avx() -> bool:
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {}).get("found", [])
    return any(name.startswith(("AVX", "X86_V3", "X86_V4")) for name in extensions)
