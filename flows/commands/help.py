"""How the commands explain themselves: placeholders instead of types, and examples at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from assay.flows.commands.options import REPORT, WEIGH

# what stands for a value whose option does not say it
_PLACEHOLDERS: dict[type, str] = {bool: "", int: "N", float: "X", str: "TEXT", Path: "PATH"}

# one or more commands for each command, as a user would type them
EXAMPLES = {
    "demo": ("assay demo --store store",),
    "curate": (
        "assay curate --pool pool.parquet --id id --text text --target wanted.parquet --budget 5%",
        "assay curate --pool people.csv --columns age,pay,job --quota north=50% --by region",
        "assay curate nightly.toml --seed 7 --option graph.k=20",
    ),
    "next": (
        "assay next --pool pool.parquet --id id --text text --labels labels --budget 50",
        "assay next nightly.toml --labels labels.csv --covered given_out.txt",
        "assay next --pool pool.parquet --id id --text text --label grade",
    ),
    "init": ("assay init pool.parquet", "assay init people.csv --target wanted.csv --out project"),
    "features": (
        "assay features table.parquet --label y --k 50",
        "assay features table.csv --label y --method ecfs,mrmr --stability 50 --consensus rra",
        "assay features table.csv --label y --method outrank --seats 100 --by _ --threshold .05",
    ),
    "sql": (
        'assay sql "select reason, count(*) from latest_decisions group by all"',
        "assay sql \"from top('pagerank', 20)\" --format csv --out top.csv",
    ),
    "explain": ("assay explain 4711 --store store",),
    "export": (
        "assay export --store store --out subset.parquet",
        "assay export --out subset --format hf --card",
        "assay export --out shards --format webdataset --shard-size 5000",
        "assay export --out rest.jsonl.gz --rows \"not selected and stage = 'filter'\" --with decisions",
    ),
    "relocate": ("assay relocate --pool /new/place/pool.parquet --store store",),
    "mcp": ("assay mcp --store store", "assay mcp --store store --http 8765"),
    "runs": ("assay runs --store store",),
    "diff": (
        "assay diff --store store",
        "assay diff 9f2c01 01ab34 --out changes.csv",
        "assay diff may.parquet june.parquet --why --label income --loss loss",
    ),
    "methods": ("assay methods --kind selector", "assay methods ccs"),
    "report": (
        "assay report --store store --out report.html",
        "assay report --compare previous latest --store store --out change.html",
    ),
    "explore": ("assay explore --store store --basket marked",),
    "check": ("assay check --store store --repair",),
    "serve": ('assay serve nightly.toml --cron "0 3 * * *" --timezone Europe/Berlin',),
    "gc": ("assay gc --store store --dry-run",),
    "plan": ("assay plan nightly.toml --memory-limit 16GiB", "assay plan nightly.toml --curve"),
    "config": ("assay config --explain plan.quotas", "assay config --schema > assay.schema.json"),
    "reasons": ("assay reasons",),
    "recipes": ("assay recipes", "assay recipes dclm"),
    "composition": (
        "assay composition pool.parquet --id id --text text --by domain --target new.parquet",
    ),
    "contamination": ("assay contamination results.csv",),
    "pairs": (
        "assay pairs records.parquet --id id --text text --pairs labeled.csv --out scored.csv",
    ),
    "value": (
        "assay value offers.parquet --text text --by vendor --target validation.parquet --label topic",
        "assay value offers.parquet --text text --by vendor --target wanted.parquet --had ours",
    ),
    "agreement": (
        "assay agreement previous latest --store store",
        "assay agreement old.npy new.npy",
    ),
    "mixture": (
        "assay mixture runs.csv --metric loss",
        "assay mixture models.csv --models --metric error --size web=9e11,law=2e10 --budget 1e11",
    ),
    "split": (
        "assay split --pool pool.parquet --id id --text text --parts train=0.8,valid=0.1,test=0.1",
        "assay split --store store --parts train=0.9,test=0.1 --stratify label --by author",
    ),
    "leaks": ("assay leaks --split split --store store",),
    "slices": (
        "assay slices predictions.parquet --by wrong",
        "assay slices --store store --by left",
    ),
    "shortcuts": ("assay shortcuts pool.parquet --id id --text text --label label",),
}
# the panels of `assay --help`, in order, with their commands
PANELS = {
    "Choose": (
        "demo",
        "init",
        "curate",
        "next",
        "features",
        "split",
        "composition",
        "mixture",
        "value",
        "pairs",
    ),
    "See what was chosen, and why": (
        "report",
        "explore",
        "explain",
        "diff",
        "agreement",
        "contamination",
        "runs",
        "sql",
        "leaks",
        "slices",
        "shortcuts",
        "mcp",
    ),
    "Take it along": ("export", "relocate"),
    "Every night": ("plan", "serve", "check", "gc"),
    "What there is": ("methods", "recipes", "config", "reasons"),
}


class Command(TyperCommand):
    """A command whose help names what an option takes, not its type, and ends with examples."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        examples = EXAMPLES.get(name or "", ())
        if examples and not settings.get("epilog"):
            settings["epilog"] = "\n\n".join(("Examples:", *(f"  {line}" for line in examples)))
        super().__init__(name, **settings)
        for parameter in self.params:
            if isinstance(parameter, TyperOption | TyperArgument):
                _name_value(parameter)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, that of the help among them."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            if isinstance(parameter, TyperOption):
                _name_value(parameter)
        return parameters


class Group(TyperGroup):
    """The command line as a whole: its commands in panels, its own options without types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, that of the help among them."""
        options = super().get_params(ctx)
        for option in options:
            if isinstance(option, TyperOption):
                _name_value(option)
        return options

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands' names in the order of their panels."""
        order = [name for names in PANELS.values() for name in names]
        return sorted(super().list_commands(ctx), key=order.index)


def panel_of(command: str) -> str:
    """Return the panel of `assay --help` in which a command stands.

    Examples
    --------
    >>> panel_of("export")
    'Take it along'
    """
    return next(panel for panel, names in PANELS.items() if command in names)


class CurateCommand(Command):
    """A command whose options `--report` and `--weigh` may stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, the defaults put in where these options have no value."""
        return super().parse_args(ctx, with_weigh(with_report(args)))


def with_weigh(args: list[str]) -> list[str]:
    """Return arguments in which `--weigh` has a value: "noise" where that follows it, else "pool".

    Examples
    --------
    >>> with_weigh(["--weigh", "config.toml"])
    ['--weigh=pool', 'config.toml']
    >>> with_weigh(["--weigh", "noise", "config.toml"])
    ['--weigh', 'noise', 'config.toml']
    """
    if "--weigh" not in args:
        return args
    at = args.index("--weigh")
    if args[at + 1 : at + 2] == ["noise"]:
        return args
    return [*args[:at], f"--weigh={WEIGH}", *args[at + 1 :]]


def with_report(args: list[str]) -> list[str]:
    """Return arguments in which `--report` has a value.

    What follows it is its file unless it is another option, or a configuration.

    Examples
    --------
    >>> with_report(["--report", "--seed", "1"])
    ['--report=report.html', '--seed', '1']
    >>> with_report(["--report", "night.html", "config.toml"])
    ['--report', 'night.html', 'config.toml']
    """
    if "--report" not in args:
        return args
    at = args.index("--report")
    following = args[at + 1] if at + 1 < len(args) else "-"
    if following.startswith("-") or following.lower().endswith(".toml"):
        return [*args[:at], f"--report={REPORT}", *args[at + 1 :]]
    return args


def _name_value(parameter: TyperOption | TyperArgument) -> None:
    if parameter.metavar is None:
        annotation = parameter.type_descriptor.annotation
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
        elif isinstance(parameter, TyperOption):
            parameter.metavar = _PLACEHOLDERS.get(annotation, "TEXT")
        else:
            parameter.display_type_rich = _untyped  # type: ignore[method-assign]


def _untyped(ctx: Any) -> str:
    return ""
