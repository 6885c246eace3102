"""Blocks of Prefect: where a store and a pool are, kept by the server and edited in its pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from assay.flows.engines.environment import prepare

prepare()

from prefect.blocks.core import Block  # noqa: E402
from pydantic import ConfigDict, Field, HttpUrl, field_validator  # noqa: E402

from assay.flows.config.credentials import secret_in  # noqa: E402
from assay.storage import ScoreStore, read_pool  # noqa: E402
from assay.storage.errors import ConfigError, SourceError  # noqa: E402

# config's key -> the block's type and the field that holds the place
_FIELDS = {"pool": "location", "store": "path"}


class StoreBlock(Block):
    """Where a store of assay is.

    Attributes
    ----------
    path : str
        Its folder, as every machine sees it that works or reads.

    Examples
    --------
    >>> StoreBlock(path="stores/nightly").path
    'stores/nightly'

    Kept by a server, and used by name: ``StoreBlock(path=...).save("nightly")``, then
    ``StoreBlock.load("nightly").open().sql("FROM latest_selection")``.
    """

    _block_type_name: ClassVar[str] = "assay store"
    _block_type_slug: ClassVar[str] = "assay-store"
    _description: ClassVar[str] = "The folder of a store of assay: runs, scores and selections."
    _logo_url: ClassVar[HttpUrl | None] = None

    model_config = ConfigDict(hide_input_in_errors=True)

    path: str = Field(description="The store's folder, as every machine sees it.", min_length=1)

    @field_validator("path")
    @classmethod
    def _holds_no_secret(cls, path: str) -> str:
        return _checked(path)

    def open(self) -> ScoreStore:
        """Return the store, which must be there."""
        return ScoreStore(self.path)


class PoolBlock(Block):
    """Where a pool is.

    Attributes
    ----------
    location : str
        File, folder, glob or URL. Credentials stay in the environment.

    Examples
    --------
    >>> PoolBlock(location="s3://bucket/night/*.parquet").location
    's3://bucket/night/*.parquet'
    """

    _block_type_name: ClassVar[str] = "assay pool"
    _block_type_slug: ClassVar[str] = "assay-pool"
    _description: ClassVar[str] = "A pool that assay chooses from: a file, folder, glob or URL."
    _logo_url: ClassVar[HttpUrl | None] = None

    model_config = ConfigDict(hide_input_in_errors=True)

    location: str = Field(description="File, folder, glob or URL of the pool.", min_length=1)

    @field_validator("location")
    @classmethod
    def _holds_no_secret(cls, location: str) -> str:
        return _checked(location)

    def read(self, **roles: Any) -> Any:
        """Return the pool, read by `assay.storage.read_pool` with these roles."""
        return read_pool(self.location, **roles)


def placed(
    config: Mapping[str, Any], pool_block: str | None, store_block: str | None
) -> dict[str, Any]:
    """Return the keys of a configuration, its pool and its store where the named blocks say they are.

    Raises
    ------
    ConfigError
        A key and a block both name a place.
    SourceError
        The server has no block of that name.
    """
    keys = dict(config)
    for key, block, name in (("pool", PoolBlock, pool_block), ("store", StoreBlock, store_block)):
        if name is None:
            continue
        if keys.get(key) is not None:
            raise ConfigError(
                f"Both the configuration and the block {name!r} name the {key}; leave one out."
            )
        keys[key] = getattr(_loaded(block, name), _FIELDS[key])
    return keys


def _loaded(block: type[Block], name: str) -> Any:
    try:
        return block.load(name)
    except ValueError as error:
        raise SourceError(
            f"The Prefect server has no block {block._block_type_slug}/{name}: make it in its pages, "
            f"or by {block.__name__}(...).save({name!r}) in Python; `prefect block ls` lists all."
        ) from error


def _checked(place: str) -> str:
    held = secret_in(place)
    if held is not None:
        raise ValueError(
            f"it holds {held}: put credentials into the environment of the workers, and leave them "
            "out here"
        )
    return place
