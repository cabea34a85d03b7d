"""What the cache holds, and less of it."""

from edgekit.engine.store import Store
from edgekit.host import cachedir
from edgekit.nouns.results import CacheSize, PrunedCache


def size() -> CacheSize:
    """The user's cache.

    Raises:
        InputError: its limit is no size.
    """
    folder = cachedir.cache_folder()
    sizes = [bytes_ for _, bytes_, _ in Store(folder).entries()]
    limit = cachedir.limit_bytes(folder)
    return CacheSize(folder, len(sizes), sum(sizes), limit, tuple(cachedir.doubts(folder)))


def prune(max_bytes: int = 0) -> PrunedCache:
    """Drop the answers longest unused until ``max_bytes`` remain; a run that reads them goes on.

    Raises:
        InputError: the cache's folder is somebody else's.
    """
    return PrunedCache(*Store(cachedir.cache_folder()).prune(max_bytes))
