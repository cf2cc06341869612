"""The command line.  Records go to standard output, words to standard error."""
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sensor import __version__
from sensor.errors import SensorError, UnknownName, UsageError
from sensor.options import LIVE, RECORDS, Workers, options, options_from

# what only some commands need is imported by them: --version and --help shall not wait for the engine
if TYPE_CHECKING:
    from sensor.engine import Replay

EXAMPLES = """
\b
Examples:
  cloudmri replay capture.pcap | jq -c 'select(._path == "http") | [.host, .uri]'
  tcpdump -i ens6 -w - udp port 4789 | cloudmri replay -
  cloudmri replay captures/ --output logs/ --workers auto
  cloudmri replay x.pcap --only postgresql --filter 'host 10.0.3.7'
"""
VERIFY_EXAMPLES = """
\b
Examples:
  cloudmri verify capture.pcap
  cloudmri verify capture.pcap --only http,ssl --json | jq -r .field | sort | uniq -c
"""
LIVE_EXAMPLES = """
\b
Examples:
  cloudmri live -i ens6 | jq -c 'select(._path == "postgresql")'
  cloudmri live -i ens6 --workers auto --output /var/log/cloudmri
  cloudmri live -i eth0 --plain --filter 'not port 22'
  cloudmri live --listen udp://0.0.0.0:4789 --listen udp://0.0.0.0:6081
  cloudmri live --config /etc/cloudmri.toml
"""
CHECK_EXAMPLES = """
\b
Examples:
  cloudmri check --example > cloudmri.toml
  cloudmri check cloudmri.toml
  cloudmri check cloudmri.toml -i ens6
"""
INTERRUPTED = 130                  # 128 + SIGINT, as shells have it


@contextlib.contextmanager
def told(debug: bool = False, exit_code: int | None = None) -> Iterator[None]:
    """Shows an operator's mistake as one sentence, with its exit code or that one; a traceback only on request."""
    try:
        yield
    except SensorError as error:
        if debug:
            raise
        click.echo(f"cloudmri: {error}", err=True)
        sys.exit(exit_code or error.exit_code)


class Moment(click.ParamType[int]):
    """A time: seconds since 1970, or ISO 8601, in UTC unless it says otherwise."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from datetime import UTC, datetime
        try:
            return round(float(value) * 1_000_000) * 1000
        except ValueError:
            pass
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither seconds since 1970 nor a time such as 2026-11-24T10:30:00", param, ctx)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return round(when.timestamp() * 1_000_000) * 1000


class DecodeAs(click.ParamType[tuple[str, str]]):
    """What tshark's own -d takes."""

    name = "port,protocol"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        port, comma, protocol = value.partition(",")
        if not comma or "=" not in port or not protocol:
            self.fail(f"{value!r} is not as in udp.port==4433,dtls", param, ctx)
        return port, protocol


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXAMPLES)
@click.version_option(__version__, prog_name="cloudmri")
def cloudmri() -> None:
    """A full-packet sensor for cloud workloads: mirrored traffic in, Zeek-like records out."""


@cloudmri.command(epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--from", "begin", type=Moment(), metavar="T",
              help="Use packets from this time on (seconds or ISO 8601).")
@click.option("--to", "end", type=Moment(), metavar="T", help="Use packets up to this time.")
@click.option("--explain", type=click.IntRange(1), metavar="N",
              help="Show what each part of the sensor made of packet N.")
@click.option("--workers", default="1", show_default=True, type=Workers(), metavar="N|auto",
              help="Processes that share the work: each reads all files and takes its flows; auto: one for each core. "
                   "What comes through a pipe is for one process.")
@click.option("-q", "--quiet", is_flag=True, help="No summary and no progress.")
@options(RECORDS)
@click.pass_context
def replay(ctx: click.Context, /, debug: bool, **_: Any) -> None:
    """Turn captures into records.

    FILE is a pcap or pcapng file (plain, gzip, zstd or xz), a directory of them, a glob, or - for standard input.
    Several are read in the order of their packets' times.
    """
    from sensor import log
    from sensor.config import settled
    with told(debug):
        said = settled(ctx)
        log.start(said.pop("log_level"))
        code = replayed(**{name: value for name, value in said.items() if name != "debug"})
    sys.exit(code)


def replayed(*, files: tuple[str, ...], output: str, explain: int | None, workers: int, quiet: bool,
             **said: Any) -> int:
    """The replay; its exit code."""
    from sensor import captures
    options = options_from(output=output, **said)
    names = captures.find(list(files))
    if explain is not None:
        from sensor.explain import explain_packet
        click.echo(explain_packet(names, explain, options))
        return 0
    if workers == 1 or any(map(captures.is_read_once, names)):
        from sensor.engine import Replay
        return run(Replay(names, options), output, quiet)
    from sensor.parallel import ParallelReplay
    return run(ParallelReplay(names, options, workers, output), output, quiet)


@cloudmri.command(epilog=LIVE_EXAMPLES)
@options((*LIVE, *RECORDS))
@click.pass_context
def live(ctx: click.Context, /, debug: bool, **_: Any) -> None:
    """Turn mirrored packets into records as they arrive, until SIGTERM or Ctrl-C.

    SIGHUP reads --config and the tenant map again and opens the files of --output anew; SIGUSR1 writes a stats record
    of each worker.
    """
    from sensor import log
    from sensor.config import settled
    from sensor.live.supervisor import Supervisor

    def listen() -> dict[str, Any]:
        said = settled(ctx)
        if not said["interface"] and not said["listen"]:
            raise UsageError("say where packets come from: --interface NAME, or --listen udp://0.0.0.0:4789")
        refuse_terminal(said["format"], said["output"])
        return said

    log.start("info")
    with told(debug):
        code = Supervisor(listen).run()
    sys.exit(code)


@cloudmri.command(epilog=CHECK_EXAMPLES)
@click.argument("file", metavar="[CONFIG]", required=False)
@click.option("-i", "--interface", metavar="NAME", help="Look at this interface and at the machine, too.")
@click.option("--example", is_flag=True, help="Print a configuration with every key, its meaning and its default.")
def check(file: str | None, interface: str | None, example: bool) -> None:
    """Look at a configuration file, and at the machine that is to capture with it.

    The exit code is 0 when all is well, 1 when something of the machine should be changed, 2 when the configuration
    cannot be used.
    """
    from sensor import config
    if example:
        click.echo(config.example(), nl=False)
        return
    if not file and not interface:
        raise click.UsageError("say what to look at: a configuration file, -i INTERFACE, or both")
    with told(exit_code=2):
        from sensor.live.machine import look
        from sensor.live.wishes import try_out, wishes_from
        said = config.settled(live.make_context("live", ["--config", file] if file else []))
        wishes, options = wishes_from(**said)
        try_out(wishes, options)
        if file:
            click.echo(f"ok     {file} can be used")
    with told():
        findings = look(interface, wishes, options) if interface else []
    for finding in findings:
        click.echo(f"{'ok    ' if finding.well else 'CHANGE'} {finding.what}")
        if not finding.well:
            click.echo(f"       {finding.advice}")
    sys.exit(0 if all(finding.well for finding in findings) else 1)


def refuse_terminal(form: str, output: str) -> None:
    if form == "msgpack" and output == "-" and sys.stdout.isatty():
        raise UsageError("msgpack is not for a terminal: use --output DIR, or send it to a file or program")


def run(work: "Replay", output: str, quiet: bool) -> int:
    """Drives a replay into its sink.  The exit code: 0, 1 where a file could not be used, 130 after Ctrl-C."""
    from sensor.sinks import DirectorySink, Sink, StreamSink
    from sensor.summary import summary
    refuse_terminal(work.options.format, output)
    sink: Sink = StreamSink(sys.stdout.buffer) if output == "-" else DirectorySink(output, work.options.format)
    signal.signal(signal.SIGINT, lambda *_: interrupt(work))
    with contextlib.closing(sink), progress(work, quiet):
        for kind, data in work:
            sink.write(kind, data)
    if not quiet:
        click.echo(summary(work.totals()), err=True)
    return INTERRUPTED if work.stopped else 1 if work.refused else 0


def interrupt(work: "Replay") -> None:
    """The first Ctrl-C ends the reading; what is known is written.  The second ends the program."""
    if work.stopped:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    work.stop()


@contextlib.contextmanager
def progress(work: "Replay", quiet: bool) -> Iterator[None]:
    """A bar on a terminal for files whose size is known; nothing elsewhere."""
    sizes = {name: os.stat(name).st_size for name in work.names if name != "-"}
    if quiet or not sys.stderr.isatty() or sum(sizes.values()) < 1 << 26:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
    bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
                   console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("replay", total=sum(sizes.values()))
        done: dict[str, int] = {}

        def on_progress(name: str, offset: int) -> None:
            done[name] = min(offset, sizes.get(name, 0))
            bar.update(task, completed=sum(done.values()))

        work.on_progress = on_progress
        yield


@cloudmri.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def protocols(as_json: bool) -> None:
    """List the protocols that are recognised, by content and on any port."""
    import json

    from sensor.protocols import protocols as known
    if as_json:
        click.echo(json.dumps(known(), indent=2))
        return
    for protocol in known():
        ports = ",".join(map(str, protocol["ports"])) or "–"
        kind, python = protocol["schema"] or "none but conn", "; in Python" if protocol["python"] else ""
        click.echo(f"{protocol['name']:<12} {protocol['transport']:<7} {protocol['doc']}  (records: "
                   f"{kind}; usual ports: {ports}{python})")


@cloudmri.command(epilog=VERIFY_EXAMPLES)
@click.argument("file", metavar="CAPTURE")
@click.option("--only", metavar="KIND,...", help="Compare these kinds of records only.")
@click.option("-d", "--decode-as", "decode_as", multiple=True, type=DecodeAs(),
              metavar="PORT,PROTOCOL", help="Tell tshark what is spoken where, as its own -d does: udp.port==4433,dtls")
@click.option("--json", "as_json", is_flag=True, help="A JSON line for each disagreement.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def verify(file: str, only: str | None, decode_as: tuple[tuple[str, str], ...],
           as_json: bool, debug: bool) -> None:
    """Let tshark read CAPTURE too, and list what the two do not agree on.

    A line tells the connection, the field, what each says, and the numbers of the packets.  The exit code is 0 when
    they agree on everything, 1 when not, 2 when they could not be compared.  tshark shows some hundred packets a
    second in this way: cut a large capture first (tcpdump -r LARGE -w SMALL host 10.0.3.7).
    """
    import json

    from sensor.verify import verify as ask
    with told(debug, 2):
        found, count = ask(file, set(only.split(",")) if only else None, dict(decode_as))
    for one in found:
        if as_json:
            click.echo(json.dumps(one._asdict() | {"connection": str(one.connection)}, ensure_ascii=False))
        else:
            click.echo(f"{one.connection}  {one.field}\n  cloudmri {one.cloudmri}\n  tshark   {one.tshark}\n"
                       f"  packets  {', '.join(map(str, one.packets))}")
    click.echo(f"{count:,} values compared, {len(found):,} disagreements", err=True)
    sys.exit(1 if found else 0)


@cloudmri.command()
@click.argument("kind", required=False)
@click.option("--json", "form", flag_value="json", help="JSON Schema (the default for one KIND).")
@click.option("--markdown", "form", flag_value="markdown", help="The manual.")
def schema(kind: str | None, form: str | None) -> None:
    """Show what records say: of one KIND, or of all."""
    import json

    from sensor import schema as render
    from sensor.protocols import schemas
    known = schemas()
    with told():
        if kind is not None and kind not in known:
            raise UnknownName("kind of record", kind, known)
    if form == "markdown":
        click.echo(render.markdown(known[kind]) if kind else render.manual(known), nl=False)
    elif kind:
        click.echo(json.dumps(render.json_schema(known[kind]), indent=2))
    elif form == "json":
        click.echo(json.dumps({name: render.json_schema(one) for name, one in known.items()}, indent=2))
    else:
        for name, one in known.items():
            click.echo(f"{name:<12} {one.doc}")
