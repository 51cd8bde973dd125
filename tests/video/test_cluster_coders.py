"""One video on a real dask cluster: the same bytes, whoever codes them and whoever is killed."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import distributed
import pytest

import bsqcodec
from bsqcodec.cli.main import main
from bsqcodec.errors import ClusterError
from bsqcodec.media.video.part import Part
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import Bitrate, Psnr, Quality, Size, Target
from bsqcodec.video import cluster_coders
from bsqcodec.video.cluster_coders import ClusterCoders, session_of
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.encode_file import VideoInput, encode_video_file
from bsqcodec.video.shared_file import SharedFile
from bsqcodec.video.worker_process import WorkerError

from ..dask_processes import ROOT, Dask, wait_until
from ..media.clips import make_clip
from .scenes import ListReader, clip, coded
from .test_group_workers import GOP, reader

FILE_FRAMES = 14


class Cluster(Dask):
    """A scheduler, and workers that are started as they are needed."""

    def have(self, *names: str) -> None:
        """Have these workers and no others."""
        for name in set(self.processes) - {"scheduler", *names}:
            self.kill(name)
        for name in set(names) - set(self.processes):
            self.start_worker(name)
        with self.client() as client:
            wait_until(lambda: len(client.nthreads()) == len(names))

    def client(self) -> distributed.Client:
        return distributed.Client(self.address, set_as_default=False)

    def tasks(self) -> int:
        """How many tasks and results the scheduler has, of whomever."""

        def count(dask_scheduler: Any) -> int:
            return len(dask_scheduler.tasks)

        with self.client() as client:
            found: int = client.run_on_scheduler(count)
            return found

    def names(self) -> dict[str, str]:
        """The names of the workers by their addresses."""

        def names(dask_scheduler: Any) -> dict[str, str]:
            return {address: found.name for address, found in dask_scheduler.workers.items()}

        with self.client() as client:
            found: dict[str, str] = client.run_on_scheduler(names)
            return found

    def is_executing(self) -> bool:
        """Whether a worker codes a group."""
        with self.client() as client:
            return any("code_group" in str(keys) for keys in client.processing().values())

    def open_files(self, name: str) -> list[str]:
        """What a worker has open."""
        links = Path(f"/proc/{self.processes[name].pid}/fd").iterdir()
        return [os.readlink(link) for link in links if link.is_symlink()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("dask"))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def alone(video_weights: Path) -> VideoCodec:
    return VideoCodec(video_weights, device="cpu", worker_processes=False)


@pytest.fixture
def helped(video_weights: Path, cluster: Cluster) -> VideoCodec:
    """A codec that has two workers."""
    cluster.have("first", "second")
    return VideoCodec(video_weights, device="cpu", scheduler=cluster.address)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file with sound."""
    found = tmp_path / "film.mkv"
    form: dict[str, Any] = {"width": 48, "height": 32, "pts": range(FILE_FRAMES), "audio": "aac"}
    found.write_bytes(make_clip("matroska", "ffv1", **form))
    return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The frames that are sent to workers."""
    found: list[object] = []
    original = cluster_coders._Place._send

    def spied(self: Any, pixels: Any) -> Any:
        found.append(pixels.shape)
        return original(self, pixels)

    monkeypatch.setattr(cluster_coders._Place, "_send", spied)
    return found


def file_coded(codec: VideoCodec, source: VideoInput, target: Target | None = None) -> bytes:
    sink = io.BytesIO()
    encode_video_file(codec, source, sink, EncodeOptions(target, gop=GOP))
    return sink.getvalue()


@pytest.mark.parametrize("target", [Quality(60), Psnr(9), Bitrate(200_000)], ids=str)
def test_the_bytes_are_those_of_this_machine(
    alone: VideoCodec, helped: VideoCodec, sent: list[object], target: Target
) -> None:
    """Frames of a stream are sent, each once for a group, however often that is coded."""
    assert coded(helped, reader(), target, gop=GOP) == coded(alone, reader(), target, gop=GOP)
    assert sent


def test_one_worker_suffices(alone: VideoCodec, helped: VideoCodec, cluster: Cluster) -> None:
    cluster.have("first")
    assert coded(helped, reader(), gop=GOP) == coded(alone, reader(), gop=GOP)


def test_a_file_is_read_by_the_workers(
    alone: VideoCodec, helped: VideoCodec, cluster: Cluster, film: Path, sent: list[object]
) -> None:
    """And nothing is left on them: no results, no open file."""
    size = Size(len(film.read_bytes()))
    for target, part in ((Quality(60), None), (Quality(60), Part.of(0.1, 0.3)), (size, None)):
        source = VideoInput(film, part=part)
        assert file_coded(helped, source, target) == file_coded(alone, source, target)
    assert not sent
    wait_until(lambda: cluster.tasks() == 0)
    for name in ("first", "second"):
        wait_until(lambda name=name: str(film) not in cluster.open_files(name))  # type: ignore[misc]


def test_a_file_that_workers_do_not_see_is_sent(
    alone: VideoCodec,
    helped: VideoCodec,
    film: Path,
    sent: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And one that looks the same there, but whose frames are others."""
    expected = file_coded(alone, VideoInput(film))
    original = SharedFile.of
    monkeypatch.setattr(SharedFile, "of", lambda video: SharedFile(video.elsewhere(), "other"))
    assert file_coded(helped, VideoInput(film)) == expected
    assert len(sent) >= FILE_FRAMES
    sent.clear()
    other = film.with_name("other.mkv")
    form: dict[str, Any] = {"width": 48, "height": 32, "pts": range(5, 5 + FILE_FRAMES)}
    other.write_bytes(make_clip("matroska", "ffv1", **form)[::-1])
    monkeypatch.setattr(SharedFile, "of", lambda video: original(VideoInput(other)))
    assert file_coded(helped, VideoInput(film)) == expected
    assert len(sent) >= FILE_FRAMES


def test_workers_that_are_killed_cost_time_only(
    alone: VideoCodec, helped: VideoCodec, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though both of them are, in the midst of a group each; a third joins meanwhile."""
    frames = clip(12, 128, 192)
    expected = coded(alone, ListReader(frames), gop=GOP)
    names, killed = cluster.names(), set[str]()
    original = cluster_coders._Place._result

    def result(self: Any, future: Any, is_cancelled: Any) -> Any:
        if self.address in names and "code_group" in str(future.key):
            wait_until(lambda: future.done() or cluster.is_executing())
            time.sleep(0.1)
            cluster.kill(names[self.address])
            killed.add(names.pop(self.address))
            if not names:
                cluster.start_worker("third")
        return original(self, future, is_cancelled)

    monkeypatch.setattr(cluster_coders._Place, "_result", result)
    assert coded(helped, ListReader(frames), gop=GOP) == expected
    assert killed == {"first", "second"}


def test_a_group_that_kills_workers_is_given_up(helped: VideoCodec) -> None:
    def lost(*_: object) -> None:
        raise WorkerError("it has ended")

    session = session_of(helped, (32, 48), EncodeOptions(), None)
    assert helped.scheduler is not None
    with ClusterCoders(helped.scheduler, session) as coders:
        future: Future[None] = coders.submit(lost)
        with pytest.raises(ClusterError, match="was lost with 4 workers, one after the other"):
            future.result(300)


def test_no_worker_is_left(
    helped: VideoCodec,
    cluster: Cluster,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, and no half file."""
    monkeypatch.setattr(cluster_coders, "WORKER_SECONDS", 1)
    original = cluster_coders._Place._ask
    lock = threading.Lock()

    def ask(self: Any, request: Any, inputs: Any, coding: Any) -> Any:
        with lock:
            if request.first >= 2 * GOP:
                for name in set(cluster.processes) - {"scheduler"}:
                    cluster.kill(name)
        return original(self, request, inputs, coding)

    monkeypatch.setattr(cluster_coders._Place, "_ask", ask)
    assert main(arguments(film, cluster, helped)) == 1
    assert capsys.readouterr().err == (
        f"bsqcodec: error: {film}: the scheduler at {cluster.address} has had no workers for 1"
        " seconds\n"
    )
    assert os.listdir(film.parent) == [film.name]


def arguments(film: Path, cluster: Cluster, codec: VideoCodec) -> list[str]:
    """Of the command that codes a film on the cluster."""
    weights = "--device", "cpu", "--weights", str(codec.model.path)
    return ["encode", str(film), "--gop", str(GOP), "--scheduler", cluster.address, *weights]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_an_encoder_that_ends_leaves_nothing(
    helped: VideoCodec, cluster: Cluster, tmp_path: Path, number: int
) -> None:
    """No half file, and on the workers no results, no open file and no work."""
    film = tmp_path / "film.mkv"
    form: dict[str, Any] = {"width": 192, "height": 128, "pts": range(300)}
    film.write_bytes(make_clip("matroska", "ffv1", **form))
    process = subprocess.Popen(
        [sys.executable, "-m", "bsqcodec", *arguments(film, cluster, helped)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: cluster.is_executing() or process.poll() is not None)
    process.send_signal(number)
    error = process.communicate()[1].decode()
    if number == signal.SIGINT:
        assert (process.returncode, error.strip()) == (130, "bsqcodec: error: interrupted")
        assert os.listdir(tmp_path) == [film.name]
    assert not film.with_suffix(".bsq").exists()
    wait_until(lambda: cluster.tasks() == 0 and not cluster.is_executing())
    for name in ("first", "second"):
        wait_until(lambda name=name: str(film) not in cluster.open_files(name))  # type: ignore[misc]


def test_workers_without_the_weights(
    video_weights: Path, cluster: Cluster, tmp_path: Path, alone: VideoCodec
) -> None:
    cluster.have("first", "second")
    folder = tmp_path / "weights"
    shutil.copytree(video_weights.parent, folder)
    path = folder / video_weights.name
    codec = VideoCodec(path, device="cpu", scheduler=cluster.address)
    shutil.rmtree(folder)
    missing = rf"the worker tcp://\S+: .* video weights {alone.model.id.hex()}.* not installed"
    with pytest.raises(ClusterError, match=missing):
        coded(codec, reader(), gop=GOP)


def test_workers_of_another_version(
    alone: VideoCodec, helped: VideoCodec, cluster: Cluster
) -> None:
    """One that joins later is left out; one that is there from the start is an error."""
    package = cluster.folder / "other" / "bsqcodec"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '0.0.9'\n")

    class Late(ListReader):
        """Its end comes when the worker has joined and was looked at."""

        def frames(self) -> Iterator[Any]:
            cluster.start_worker("other", package.parent)
            with cluster.client() as client:
                wait_until(lambda: len(client.nthreads()) == 3)
                log = cluster.folder / "other.log"
                wait_until(lambda: "Run out-of-band function 'probe'" in log.read_text())
            time.sleep(0.2)
            yield from super().frames()

    source = reader()
    late = Late(source._frames, side=source._side)
    late.expected_frames = source.expected_frames
    sink = io.BytesIO()
    made = helped.encode(late, sink, Quality(60), gop=GOP)
    assert sink.getvalue() == coded(alone, reader(), gop=GOP)
    wrong = f"has bsqcodec 0.0.9, not {bsqcodec.__version__}"
    (note,) = (note for note in made.notes if "worker" in note)
    assert note.startswith("a worker that joined was left out: the worker tcp://")
    assert wrong in note
    with pytest.raises(ClusterError, match=wrong):
        coded(helped, reader(), gop=GOP)
    cluster.kill("other")


def test_the_scheduler_goes_away(
    helped: VideoCodec,
    film: Path,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While it is at work, and before."""
    monkeypatch.setattr(cluster_coders, "CONNECT_SECONDS", 1)
    monkeypatch.setattr("bsqcodec.machine.dask_scheduler.CONNECT_SECONDS", 1)
    original = cluster_coders._Place._ask
    lock = threading.Lock()

    def ask(self: Any, request: Any, inputs: Any, coding: Any) -> Any:
        with lock:
            if "scheduler" in cluster.processes:
                cluster.kill("scheduler")
        return original(self, request, inputs, coding)

    monkeypatch.setattr(cluster_coders._Place, "_ask", ask)
    assert main(arguments(film, cluster, helped)) == 1
    gone = f"bsqcodec: error: {film}: the scheduler at {cluster.address} is gone\n"
    assert capsys.readouterr().err == gone
    assert main(arguments(film, cluster, helped)) == 1
    assert capsys.readouterr().err == (
        f"bsqcodec: error: {film}: no scheduler answers at {cluster.address};"
        " `dask scheduler` starts one\n"
    )
    assert os.listdir(film.parent) == [film.name]
