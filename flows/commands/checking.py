"""What `assay check` looks at, and how it tells."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from assay.storage import ScoreStore
from assay.storage.upkeep.check import check_store


def check_all(store: ScoreStore, *, repair: bool = False) -> dict[str, Any]:
    """Return what is wrong in the store (`findings`), and the libraries of linear algebra (`blas`)."""
    from assay.index.blas import blas_report

    return {
        "store": str(store.path),
        "findings": [asdict(finding) for finding in check_store(store, repair=repair)],
        "blas": blas_report(),
    }


def print_check(found: dict[str, Any]) -> None:
    """Print what `check_all` returned."""
    for finding in found["findings"]:
        mended = " (mended)" if finding["repaired"] else ""
        print(f"{finding['where']}: {finding['problem']}{mended}")
    if not any(finding["level"] == "damage" for finding in found["findings"]):
        print(f"{found['store']}: everything is as it was written.")
    for library in found["blas"]:
        kernels = library["architecture"] or "?"
        print(f"{library['library']} {library['version']} ({library['file']}): kernels {kernels}")
        if library["slow"]:
            print(
                "  These kernels leave AVX unused: searches of FAISS indexes are up to three times "
                "slower. Set OPENBLAS_CORETYPE=SkylakeX (AVX-512) or Haswell (AVX2) in the "
                "environment. The similarity graph is not concerned."
            )
