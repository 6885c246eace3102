"""Plain tasks of a cluster: what comes back of a stage that runs elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import httpx
import pytest

from assay.flows.engines.cluster import Answer, Cluster, WorkerTraceback, answer, cluster_of
from assay.flows.engines.retry import is_transient
from assay.flows.progress import logger
from assay.flows.stages.stage import Stage
from assay.storage.errors import InputError, ResourceError, ServiceError, SourceError, StoreError

ended: list[int] = []


def double(number: int) -> int:
    logger.warning("doubled %d", number)
    time.sleep(0.01 * (3 - number))
    ended.append(number)
    return 2 * number


def fail(kind: str) -> None:
    if kind == "unreadable":
        raise SourceError("can't be read: postgresql://me:secret@there/pool") from TimeoutError()
    if kind == "wrong":
        raise InputError("no row")
    if kind == "not to be pickled":
        request = httpx.Request("GET", "http://127.0.0.1")
        raise httpx.HTTPStatusError("", request=request, response=httpx.Response(503))
    if kind == "that holds a lock":
        error = OverflowError("said")
        error.lock = Lock()  # type: ignore[attr-defined]
        raise error
    double(int(kind))


DOUBLE = Stage("double", f"{__name__}:double")
FAIL = Stage("fail", f"{__name__}:fail")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ThreadPoolExecutor(2) as pool:
        yield Cluster(lambda stage, args: pool.submit(answer, stage, args), Future.result)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    ended.clear()
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_answers_come_in_order_with_the_lines_of_the_workers_log(cluster: Cluster) -> None:
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    assert cluster(DOUBLE, [(0,)]) == (0,)
    logger.addHandler(handler)
    assert cluster(DOUBLE, [(0,), (1,), (2,)]) == (0, 2, 4)
    # twice each: this worker is a thread of the process that waits
    assert lines[-3:] == ["doubled 0", "doubled 1", "doubled 2"]
    assert sorted(lines) == sorted(2 * lines[-3:])


def test_an_error_comes_with_its_causes_and_without_secrets(cluster: Cluster) -> None:
    with pytest.raises(SourceError, match=r"^can't be read: (?!.*secret)") as caught:
        cluster(FAIL, [("unreadable",)])
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert is_transient(caught.value)
    where = caught.value.__cause__.__cause__
    assert isinstance(where, WorkerTraceback)
    assert "in fail" in str(where)
    assert "secret" not in str(where)
    with pytest.raises(InputError, match=r"^no row$") as caught_here:
        cluster(FAIL, [("wrong",)])
    assert not is_transient(caught_here.value)


@pytest.mark.parametrize(
    ("kind", "error", "passing"),
    [("not to be pickled", ServiceError, True), ("that holds a lock", RuntimeError, False)],
)
def test_an_error_that_cannot_travel_is_described(
    cluster: Cluster, kind: str, error: type[Exception], passing: bool
) -> None:
    with pytest.raises(error, match=r"HTTPStatusError|OverflowError: said") as caught:
        cluster(FAIL, [(kind,)])
    assert is_transient(caught.value) == passing


def test_the_first_error_is_raised_when_all_calls_have_ended(cluster: Cluster) -> None:
    calls: list[tuple[Any, ...]] = [("0",), ("wrong",), ("1",), ("unreadable",), ("2",)]
    with pytest.raises(InputError):
        cluster(FAIL, calls)
    assert sorted(ended) == [0, 1, 2]


def test_a_call_whose_workers_are_lost_is_named() -> None:
    def result(place: int) -> Answer:
        if place == 1:
            raise OSError("the worker died")
        ended.append(place)
        return Answer(place, (), ())

    places = iter(range(3))
    lost = Cluster(lambda stage, args: next(places), result)
    with pytest.raises(ResourceError, match=r"'double': OSError: the worker died.*shard_rows"):
        lost(DOUBLE, [(0,), (1,), (2,)])
    assert ended == [0, 2]


def test_causes_that_go_in_a_circle_end(cluster: Cluster) -> None:
    with pytest.raises(StoreError, match="first"):
        cluster(Stage("circle", f"{__name__}:circle"), [()])


def circle() -> None:
    first, second = StoreError("first"), StoreError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def test_threads_are_no_cluster() -> None:
    assert cluster_of("threads", None) is None
    assert cluster_of("process", None) is None
