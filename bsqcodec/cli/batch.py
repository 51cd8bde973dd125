"""`bsqcodec batch`: all the files of folders, with several workers, taken up again if need be."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bsqcodec.batch.batch_options import Options
from bsqcodec.batch.errors import PlanError
from bsqcodec.batch.kinds import FORMATS, PICTURE, VIDEO, Direction
from bsqcodec.batch.plan import Animations, Naming, Plan, make_plan
from bsqcodec.cli import command_options
from bsqcodec.cli.batch_report import (
    Report,
    ignored_facts,
    ignored_lines,
    likeness_lines,
    reason_of_error,
    shown,
    task_facts,
)
from bsqcodec.cli.console import Console
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.cli.values import Whole, complete_files
from bsqcodec.cli.video_options import refuse
from bsqcodec.machine.processor import core_count
from bsqcodec.media.formats import PICTURE_FORMATS_TEXT
from bsqcodec.options import DecodeOptions, EncodeOptions
from bsqcodec.targets import Bitrate

if TYPE_CHECKING:
    from bsqcodec.batch.executor import Executor

_ANIMATIONS: Final = {None: None, True: Animations.VIDEOS, False: Animations.PICTURES}
_ENCODING_NAMES: Final = (*set(command_options.ENCODING_NAMES) - {"look"}, "model", "as_video")
_WORDS: Final = {"code": "to do", "record": "done", "skip": "done", "refuse": "refused"}


@dataclass(frozen=True)
class RunSettings:
    """Who works and what becomes of earlier runs; the fields are the command's options."""

    workers: int | None
    scheduler: str | None
    resume: bool
    dry_run: bool
    log: str | None
    force: bool
    as_json: bool


@click.command(cls=GroupedCommand)
@command_options.inputs_argument
@click.argument("output", metavar="OUTPUT", shell_complete=complete_files)
@click.option(
    "--encode", "direction", flag_value="encode", help="Code pictures and videos as .bsq files."
)
@click.option("--decode", "direction", flag_value="decode", help="Decode .bsq files.")
@command_options.naming_option(
    Naming.KEEP,
    "keep: a.jpg becomes a.jpg.bsq and that a.jpg.png. replace: a.jpg, a.bsq, a.png.",
)
@click.option("--hidden", is_flag=True, help="Take files and folders with a dot in front too.")
@click.option(
    "--workers",
    type=Whole(min=1),
    metavar="N",
    help="Processes, which share the threads.  [default: half of the cores]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Use the workers of this dask.distributed scheduler (tcp://host:8786).",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Leave out what is done and whole, or do all again.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@click.option(
    "--log",
    metavar="FILE",
    shell_complete=complete_files,
    help="Add a JSON object for each file, and one for all, to this file.",
)
@command_options.as_one_object("settings", RunSettings)
@command_options.encoding_options
@command_options.model_option
@click.option(
    "--video/--picture",
    "as_video",
    default=None,
    help="What animations are (GIF, WebP, APNG, AVIF): videos, or pictures of their first frame."
    "  [default: neither; they fail]",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS, case_sensitive=False),
    metavar="FORMAT",
    multiple=True,
    help=f"Format to decode to, once for pictures ({PICTURE_FORMATS_TEXT}) and once for videos"
    f" ({', '.join(VIDEO.formats)}).  [default: png, mkv]",
)
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def batch(
    console: Console,
    inputs: tuple[str, ...],
    output: str,
    direction: str | None,
    naming: str,
    hidden: bool,
    settings: RunSettings,
    encoding: EncodeOptions,
    model: str,
    as_video: bool | None,
    formats: tuple[str, ...],
    machine: command_options.MachineOptions,
) -> None:
    """Code all the files of folders, and mirror their tree.

    INPUT is a folder, a quoted glob ("photos/**/*.jpg") or a file; OUTPUT is a folder. Pictures
    and videos are encoded; where there are only .bsq files, they are decoded. A file that fails is
    reported at the end and does not stop the others. What a run has done, the next one leaves out,
    however the first one ended.
    """
    if settings.scheduler is not None and settings.workers is not None:
        raise click.UsageError("give only one of --workers and --scheduler")
    try:
        plan = make_plan(
            inputs,
            Path(output),
            direction=None if direction is None else Direction(direction),
            naming=Naming(naming),
            formats=formats,
            hidden=hidden,
            animations=_ANIMATIONS[as_video],
        )
    except PlanError as error:
        raise click.UsageError(str(error)) from error
    _check_direction(
        plan.direction,
        for_encoding=command_options.any_given(_ENCODING_NAMES),
        for_decoding=bool(formats),
    )
    _check_kinds(_kinds_of(plan), encoding, machine.weights)
    command_options.check_model(model, machine.weights)
    misses_all = _tell_what_is_missed(console, plan)
    workers = min(settings.workers or max(1, core_count() // 2), max(1, len(plan.tasks)))
    threads = machine.threads
    if settings.scheduler is None:
        threads = command_options.limit_threads(console, threads)
        threads = max(1, (threads or core_count()) // workers)
    coding = replace(
        _coding_options(plan, encoding, model, machine),
        first_frame=as_video is False,
        formats=formats,
        threads=threads,
    )
    if settings.dry_run:
        _tell_plan(console, plan, coding, settings)
        has_failed = misses_all
    else:
        has_failed = _run(console, plan, coding, workers, settings) or misses_all
    if has_failed:
        click.get_current_context().exit(1)


def _kinds_of(plan: Plan) -> set[str]:
    """Names of the kinds of files that a plan has."""
    return {task.kind_name for task in plan.tasks}


def _tell_what_is_missed(console: Console, plan: Plan) -> bool:
    """Warn of files that a plan leaves out or lacks;
    return whether all that look right are left out."""
    for line in likeness_lines(plan.ignored):
        console.warning(line)
    misses_all = not plan.tasks and any(ignored.likeness for ignored in plan.ignored)
    if misses_all:
        console.error("nothing is coded: what looks like pictures or videos is left out")
    elif not plan.tasks:
        console.warning(f"there is nothing to {plan.direction.value}")
    return misses_all


def _coding_options(
    plan: Plan, encoding: EncodeOptions, model: str, machine: command_options.MachineOptions
) -> Options:
    """How the files of a plan are coded. Raises WeightsError where weights are missing."""
    used = _kinds_of(plan) if plan.direction is Direction.ENCODE else set()
    weights = machine.weights
    picture_weights = _picture_weights(weights, model) if PICTURE.name in used else None
    family, few_steps = (None, None) if picture_weights is None else _family_of(picture_weights)
    video_weights = _video_weights(weights, model) if VIDEO.name in used else None
    return Options(
        encoding=encoding,
        decoding=DecodeOptions(look=encoding.look, max_pixels=encoding.max_pixels),
        weights=None if weights is None else os.path.abspath(weights),
        weights_sha256=None if picture_weights is None else _sha256(picture_weights),
        video_weights_sha256=None if video_weights is None else _sha256(video_weights),
        model=model if family is None else family,
        few_steps=few_steps,
        model_id=None if picture_weights is None else picture_weights.stem.partition("-")[2],
        device=machine.device,
    )


def _run(
    console: Console, plan: Plan, coding: Options, workers: int, settings: RunSettings
) -> bool:
    """Code the files of a plan and report; return whether any failed."""
    from bsqcodec.batch.job import run_batch

    with ExitStack() as stack:
        file = None
        if settings.log is not None:
            file = stack.enter_context(open(settings.log, "a", encoding="utf-8"))
        report = Report(console, plan, file, as_json=settings.as_json)
        try:
            if plan.tasks or plan.unreadable:
                executor = _executor(settings.scheduler, workers)
                run_batch(
                    plan, coding, executor, report, resume=settings.resume, force=settings.force
                )
        except (KeyboardInterrupt, SystemExit):
            report.close()
            raise
        report.close()
    return report.has_failures


def _check_direction(direction: Direction, *, for_encoding: bool, for_decoding: bool) -> None:
    """Refuse options that have no meaning in this direction."""
    if for_decoding and direction is Direction.ENCODE:
        raise click.UsageError("--format is for decoding, and this batch encodes")
    if for_encoding and direction is Direction.DECODE:
        raise click.UsageError(
            "-q, --bpp, --bitrate, --size, --psnr, --model, --video, --picture, --effort, --tune,"
            " --gop, --audio, --strip and --verify are for encoding, and this batch decodes"
        )


def _check_kinds(kinds: set[str], encoding: EncodeOptions, weights: str | None) -> None:
    """Refuse options that have no meaning for files of these kinds."""
    if PICTURE.name in kinds:
        refuse({"--bitrate": isinstance(encoding.target, Bitrate)}, "pictures")
        if VIDEO.name not in kinds:
            refuse({"--gop": encoding.gop, "--audio": encoding.audio != "copy"}, "pictures")
        elif weights is not None:
            raise click.UsageError(
                "--weights are of pictures or of videos, and this batch has both; give INPUT as a"
                " glob of one kind"
            )


def _tell_plan(console: Console, plan: Plan, coding: Options, settings: RunSettings) -> None:
    """Say on standard output what would become of each file; exits with 1 if any is refused."""
    from bsqcodec.batch.job import preview
    from bsqcodec.batch.resume import Action

    for path, error in plan.unreadable:
        console.error(f"{shown(path)}: {reason_of_error(path, error)}")
    refused = bool(plan.unreadable)
    counts: Counter[str] = Counter()
    for task, decision in preview(plan, coding, resume=settings.resume, force=settings.force):
        word = _WORDS[decision.action.value]
        counts[word] += 1
        reason = None
        if decision.action is Action.REFUSE and decision.error is not None:
            refused = True
            reason = reason_of_error(task.source, decision.error)
            console.error(f"{shown(task.source)}: {reason}")
        if settings.as_json:
            facts = {"type": "planned", "status": decision.action.value, "reason": reason}
            console.record(facts | task_facts(task))
        elif reason is None:
            output = shown(str(plan.output / task.destination))
            console.answer(f"{word}: {shown(task.source)} -> {output}")
    if settings.as_json:
        for ignored in plan.ignored:
            console.record(ignored_facts(ignored))
    else:
        some = ", ".join(f"{count} {word}" for word, count in counts.items())
        console.answer(some or "no files")
        for line in ignored_lines(plan.ignored):
            console.answer(line)
    if refused:
        click.get_current_context().exit(1)


def _executor(scheduler: str | None, workers: int) -> Executor:
    """Who does the work: a cluster, or processes of this machine."""
    if scheduler is None:
        from bsqcodec.batch.pool import ProcessPool

        return ProcessPool(workers)
    from bsqcodec.batch.cluster import Cluster

    return Cluster(scheduler)


def _picture_weights(weights: str | None, model: str) -> Path:
    """The weights that an encoder of pictures will use. Raises WeightsError for none."""
    if weights is not None:
        return Path(weights)
    from bsqcodec.models.families import default_weights

    return default_weights(model)


def _family_of(weights: Path) -> tuple[str, tuple[int, ...] | None]:
    """What `family_and_steps` tells. Raises WeightsError."""
    from bsqcodec.models.families import family_and_steps

    return family_and_steps(weights)


def _video_weights(weights: str | None, model: str) -> Path:
    """The weights that an encoder of videos will use. Raises WeightsError where there are none."""
    if weights is not None:
        return Path(weights)
    from bsqcodec.video.video_model import default_video_weights

    return default_video_weights(model)


def _sha256(path: Path) -> str:
    from bsqcodec.batch.digests import sha256_of

    return sha256_of(path)
