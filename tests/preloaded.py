"""What a process of `warm` has imported before it begins."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import sagalang
from sagalang.workspace import load

PACKAGES = ("cli", "compile", "interpret", "runtime", "render", "scenario", "verify")
OTHERS = (
    "sagalang.idempotency",
    *("httpx", "httpcore._backends.anyio", "anyio._backends._asyncio"),
    *("starlette.applications", "uvicorn.lifespan.off", "uvicorn.protocols.http.auto"),
)
for name in PACKAGES:
    package = import_module(f"sagalang.{name}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "pytest" not in module.name and "template" not in module.name:
            import_module(module.name)
for name in OTHERS:
    import_module(name)
load(str(Path(sagalang.__file__).parents[1] / "examples" / "shop" / "shop.saga"))
