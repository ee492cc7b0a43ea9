"""Simulation of ``rlfn bulk`` on 1, 100 and 10,000 cores: its schedule with measured costs.

    python benchmarks/scale.py --measure     # the costs of a picture and a task on this machine, as JSON
    python benchmarks/scale.py               # the table, from the costs below
    python benchmarks/scale.py --set price_core_hour=0.02 --set drivers=10 --cores 10000

``Costs`` has measured numbers (CPU seconds, which are less sensitive to other load) and configurable assumptions on the
performance and prices of the store, the network and the cores. Every batch of the run is simulated: workers with one
batch running and one queued, a driver that collects rows and assigns batches, a store with a limited request rate, and
a network that is shared by the cores of a machine.
"""

from __future__ import annotations

import argparse
import heapq
import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from rlfn.jobs.bulk import scheduler


@dataclass(frozen=True)
class Costs:
    """Numbers of the simulation: CPU seconds of one core, megapixels, bytes."""

    # measured, rlfn-s-x4 to PNG (see docs/reports/scale.md)
    decode: float = 0.019  # s per input Mpx, JPEG
    engine: float = 15.5  # s per input Mpx
    encode: float = 0.044  # s per output Mpx
    picture: float = 0.021  # s per picture beside these
    row: float = 0.000085  # s of the driver per picture
    task: float = 0.0014  # s of the driver per batch
    bytes_in: float = 606_000  # per input Mpx
    bytes_out: float = 1_090_000  # per output Mpx
    driver_bytes: float = 800  # memory of the driver per picture
    # what is asked for
    scale: int = 4
    pictures: int = 1_000_000
    mpx: float = 0.5  # mean of a log-normal distribution of input sizes
    spread: float = 0.8  # its sigma
    # assumptions
    drivers: int = 1
    machine: int = 16  # cores
    network: float = 10e9 / 8  # bytes/s of a machine
    gets: float = 5_500  # requests/s of the store
    puts: float = 3_500
    latency: float = 0.1  # s of a GET and a PUT together; four pictures are on their way at a time
    price_core_hour: float = 0.04  # $
    price_thousand_gets: float = 0.0004
    price_thousand_puts: float = 0.005
    start: float = 20.0  # s until workers work


@dataclass(frozen=True)
class Simulated:
    """A simulated run: its duration, and the utilisation of each part."""

    cores: int
    seconds: float
    busy: dict[str, float]

    def row(self, costs: Costs) -> dict[str, object]:
        """Return the row of the table."""
        hours = self.cores * self.seconds / 3600
        requests = costs.pictures / 1000 * (costs.price_thousand_gets + costs.price_thousand_puts)
        million = 1e6 / costs.pictures
        return {
            "cores": self.cores,
            "hours": round(self.seconds / 3600, 3),
            "pictures_a_day_and_core": round(costs.pictures / hours * 24),
            "dollars_a_million": round((hours * costs.price_core_hour + requests) * million, 2),
            "of_these_requests": round(requests * million, 2),
            "busy": {name: round(share, 3) for name, share in self.busy.items()},
            "bottleneck": max(self.busy, key=lambda name: self.busy[name]),
            "driver_gb": round(costs.driver_bytes * costs.pictures / costs.drivers / 1e9, 2),
        }


class Server:
    """A resource that serves one request after another."""

    def __init__(self) -> None:
        self.free = self.worked = 0.0

    def serve(self, at: float, seconds: float) -> float:
        """Return the finish time of work that arrives at ``at``."""
        self.free = max(self.free, at) + seconds
        self.worked += seconds
        return self.free


def batches(costs: Costs, cores: int) -> list[tuple[int, float]]:
    """Return (pictures, Mpx) of each batch as the driver makes them, large pictures first."""
    sigma = costs.spread
    sizes = np.random.default_rng(0).lognormal(np.log(costs.mpx) - sigma**2 / 2, sigma, costs.pictures)
    sizes = np.sort(np.clip(sizes, 0.001, 16.0))[::-1]
    found, start, left = [], 0, float(sizes.sum())
    total = np.concatenate([[0.0], np.cumsum(sizes)])
    while start < len(sizes):
        budget = scheduler.batch_pixels(int(1e6 * left), cores) / 1e6
        stop = int(np.searchsorted(total, total[start] + budget))
        stop = min(max(stop, start + 1), start + scheduler._BATCH_PICTURES, len(sizes))
        found.append((stop - start, float(total[stop] - total[start])))
        left -= found[-1][1]
        start = stop
    return found


def simulate(costs: Costs, cores: int) -> Simulated:
    """Run every batch through workers, drivers, store and network."""
    queue = batches(costs, cores)
    drivers = [Server() for _ in range(costs.drivers)]
    gets, puts = Server(), Server()
    networks = [Server() for _ in range(-(-cores // costs.machine))]
    worked = {"decode": 0.0, "engine": 0.0, "encode": 0.0}
    waiting: list[list[tuple[float, int]]] = [[] for _ in range(cores)]  # (given at, batch) of each worker
    position = 0

    def give(worker: int, at: float) -> None:
        nonlocal position
        if position < len(queue):
            given = drivers[worker % costs.drivers].serve(at, costs.task)
            waiting[worker].append((given, position))
            position += 1

    def work(worker: int, at: float) -> float | None:
        """Start the next batch; return its finish time."""
        if not waiting[worker]:
            return None
        given, number = waiting[worker].pop(0)
        count, mpx = queue[number]
        begins, large = max(at, given), mpx * costs.scale**2
        parts = {"decode": mpx * costs.decode, "engine": mpx * costs.engine, "encode": large * costs.encode}
        for name, seconds in parts.items():
            worked[name] += seconds
        own = max(sum(parts.values()) + count * costs.picture, count * costs.latency / 4)
        read = gets.serve(begins, count / costs.gets)
        moved = mpx * costs.bytes_in + large * costs.bytes_out
        sent = networks[worker // costs.machine].serve(begins, moved / costs.network)
        written = puts.serve(begins + own, count / costs.puts)
        return max(begins + own, read, sent, written)

    events: list[tuple[float, int]] = []
    counts = [0] * cores
    for _ in range(2):
        for worker in range(cores):
            give(worker, costs.start)
    for worker in range(cores):
        if waiting[worker]:
            counts[worker] = queue[waiting[worker][0][1]][0]
        if (done := work(worker, costs.start)) is not None:
            heapq.heappush(events, (done, worker))
    end = costs.start
    while events:
        at, worker = heapq.heappop(events)
        taken = drivers[worker % costs.drivers].serve(at, counts[worker] * costs.row)
        end = max(end, taken)
        give(worker, taken)
        if waiting[worker]:
            counts[worker] = queue[waiting[worker][0][1]][0]
        if (done := work(worker, at)) is not None:
            heapq.heappush(events, (done, worker))
    length = end
    busy = {name: seconds / (cores * length) for name, seconds in worked.items()}
    busy |= {
        "driver": max(one.worked for one in drivers) / length,
        "gets": gets.worked / length,
        "puts": puts.worked / length,
        "network": max(one.worked for one in networks) / length,
    }
    return Simulated(cores, length, busy)


def cpu(work: Callable[[], object], least: float = 1.0) -> float:
    """Return the CPU seconds of a call of ``work``: the minimum of the calls within a CPU second, at least two."""
    found: list[float] = []
    while sum(found) < least or len(found) < 2:
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def measure(model: str, format: str) -> dict[str, float]:
    """Measure the costs of a picture in a worker, on one thread."""
    import pyvips

    from rlfn.images.files import Picture, read_picture, write_picture
    from rlfn.images.photograph import photograph
    from rlfn.inference.enlarge import Enlarger
    from rlfn.inference.enlarge_options import EnlargeOptions

    pyvips.concurrency_set(1)
    image = np.tile(photograph(), (2, 2, 1))
    mpx = image.shape[0] * image.shape[1] / 1e6
    stream = io.BytesIO()
    write_picture(Picture(image), stream, format="jpg")
    data = stream.getvalue()
    enlarger = Enlarger(EnlargeOptions(model=model, threads=1, restore="off")).with_auto_engine(None)
    made = enlarger(image)
    large = io.BytesIO()
    write_picture(Picture(made.image), large, format=format)
    out = made.image.shape[0] * made.image.shape[1] / 1e6
    tiny = image[:16, :16].copy()
    return {
        "decode": cpu(lambda: read_picture(data)) / mpx,
        "engine": cpu(lambda: enlarger(image)) / mpx,
        "encode": cpu(lambda: write_picture(Picture(made.image), io.BytesIO(), format=format)) / out,
        "picture": cpu(lambda: enlarger(tiny), 0.2),
        "bytes_in": len(data) / mpx,
        "bytes_out": len(large.getvalue()) / out,
        "scale": round((out / mpx) ** 0.5),
    }


def measure_driver(pictures: int = 20_000) -> dict[str, float]:
    """Measure the driver's costs of rows and tasks: Ray's overhead of a task with an actor that does nothing."""
    import resource
    import tempfile

    import pyarrow as pa

    from rlfn.inference.enlarge_options import EnlargeOptions
    from rlfn.jobs.bulk.manifest import Manifest, PictureRow
    from rlfn.jobs.bulk.pending import PendingWork, resolve_settings
    from rlfn.jobs.bulk.ray_cluster import ClusterOptions, cluster, import_ray
    from rlfn.jobs.bulk.sources import FoundPictures
    from rlfn.jobs.bulk.stores import Store
    from rlfn.jobs.record import Settings

    def resident() -> int:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    many = 10 * pictures
    before = resident()
    keys = [f"archive/{number % 997:03d}/picture-{number:09d}.jpg" for number in range(many)]
    columns = {
        "key": keys,
        "path": [f"s3://bucket/{key}" for key in keys],
        "bytes": pa.array([50_000] * many, pa.int64()),
        "stamp": ["d41d8cd98f00b204e9800998ecf8427e"] * many,
        "options": pa.array([0] * many, pa.int32()),
    }
    found = FoundPictures(pa.table(columns))
    del keys, columns
    work = PendingWork(
        found, resolve_settings(Settings(EnlargeOptions(threads=1)), [()]), Store("s3-out"), keep_suffix=False
    )
    memory = (resident() - before) / many

    entries = [entry for entry, _ in zip(work.entries(work.remaining), range(pictures), strict=False)]
    row = PictureRow(
        "i" * 60, "o" * 40, "done", key="k" * 40, input_sha256="0" * 64, output_sha256="1" * 64, finished=1.0
    )
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(Store(folder))
        began = time.process_time()
        for _ in range(pictures):
            manifest.add(row)
        manifest.flush()
        rows = (time.process_time() - began) / pictures
    with cluster(ClusterOptions()):
        ray = import_ray()

        class Idle:
            def run(self, given: list[object], budget: int) -> list[object]:
                return [row] * len(given)

        actors = [ray.remote(Idle).remote() for _ in range(2)]
        ray.get([actor.run.remote([], 0) for actor in actors])
        began, tasks, refs = time.process_time(), 500, []
        for number in range(tasks):
            refs.append(actors[number % 2].run.remote(entries[:8], 0))
            if len(refs) == 4:
                done, refs = ray.wait(refs, num_returns=1)
                ray.get(done)
        ray.get(refs)
        task = (time.process_time() - began) / tasks
    return {"row": rows, "task": task, "driver_bytes": memory}


def changed(costs: Costs, texts: list[str]) -> Costs:
    """Return the costs with overrides ``name=value``."""
    kinds = {name: type(value) for name, value in asdict(costs).items()}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise SystemExit(f"There is no {name}. Allowed: {', '.join(kinds)}.")
        costs = replace(costs, **{name: kinds[name](float(value))})
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--model", default="rlfn-s-x4", help="of --measure")
    parser.add_argument("--format", default="png", help="of --measure")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 100, 10_000])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="texts")
    given = parser.parse_args()
    if given.measure:
        for found in (measure(given.model, given.format), measure_driver()):
            print(json.dumps({name: float(f"{value:.4g}") for name, value in found.items()}), flush=True)
        return
    costs = changed(Costs(), given.texts)
    for cores in given.cores:
        print(json.dumps(simulate(costs, cores).row(costs)))


if __name__ == "__main__":
    main()
