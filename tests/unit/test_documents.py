"""What the documents say is so: links, states, commands, options, messages."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest
from execctl.cli import COMMANDS, cli
from execd.cli import execd
from execd.model.session import State
from execd.sessions.state import TRANSITIONS, Event

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "inprocess/PROTOCOL.md"])
}
ARCHITECTURE_LINES = 150
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
TRANSITION = re.compile(r"^([a-z ]+) --([A-Z_]+)--> ([a-z ]+)$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND_LINE = re.compile(r"(execctl|execd) ([^|]*)")
PROMPT = "$ "
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
VARIES = "…"


def anchor(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(document: str) -> set[str]:
    """The anchors of a document; what looks like a heading in a code block is none."""
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", document), re.MULTILINE)}


def broken_links(name: str, document: str) -> list[str]:
    """Links to files that are not there, or to headings that their document does not have."""
    faults = []
    for link in LINK.findall(FENCE.sub("", document)):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        linked = (ROOT / name).parent / path
        if not linked.exists() or (
            fragment and fragment not in anchors(linked.read_text("utf-8") if path else document)
        ):
            faults.append(link)
    return faults


@cache
def messages() -> tuple[str, ...]:
    """Every text in the sources, with what varies in it replaced."""
    texts = set()
    for folder in ("daemon", "client", "inprocess"):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
            docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
            texts |= {text_of(node) for node in nodes if node not in docstrings}
    return tuple(texts)


def text_of(node: ast.AST) -> str:
    """The text of a literal: "process … has ended" for f"process {pid} has ended"; "" for other nodes."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%[ds]", VARIES, text)
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) if isinstance(part, ast.Constant) else VARIES for part in parts)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return (text_of(left) or VARIES) + (text_of(right) or VARIES)
        case _:
            return ""


def quoted_messages() -> list[str]:
    """The messages that troubleshooting.md and the refusals and caveats of profiling.md quote."""
    profiling = DOCUMENTS["docs/profiling.md"].partition("## What is refused")[2].partition("\n## Overhead")[0]
    tables, _, _ = DOCUMENTS["docs/troubleshooting.md"].partition("## The numbers look wrong")
    return re.findall(r"^\| `([^`]+)` \|", tables + profiling, re.MULTILINE)


def caveats_of_collectors() -> set[str]:
    """What the hooks note while they are in a target."""
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "inprocess/execd_agent/collectors").glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    noted = [call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "_note"]
    # A name stands for what was worded elsewhere.
    worded = [one for one in noted if not isinstance(one, ast.Name)]
    return {text_of(one.left if isinstance(one, ast.BinOp) else one) for one in worded}


def is_in_the_sources(message: str) -> bool:
    """Whether a text of the sources is, or holds, a message; where it varies, any text may stand."""
    pattern = re.compile(".*".join(map(re.escape, message.split(VARIES))))
    return any(pattern.search(text) for text in messages())


def command_lines(document: str) -> list[list[str]]:
    """The command lines that a document shows in code, as lists of words."""
    spans = [span for span in SPAN.findall(FENCE.sub("", document)) if span not in quoted_messages()]
    shown = [*spans, *(line for block in FENCE.findall(document) for line in typed_lines(block))]
    matches = (COMMAND_LINE.match(line) for line in shown)
    return [[match[1], *match[2].split()] for match in matches if match]


def typed_lines(block: str) -> list[str]:
    """What a person types in a code block: what follows the prompts, or all of it where there are none."""
    lines = block.splitlines()
    prompted = [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]
    return prompted or lines


def unknown_words(words: list[str]) -> list[str]:
    """The sub-command and the options of a command line that the program does not have."""
    program, *rest = words
    # What follows is another program's.
    rest = rest[: rest.index("--")] if "--" in rest else rest
    group: click.Group = cli if program == "execctl" else execd
    before = [word for word in rest if not word.startswith("-") and word.isalpha() and word.islower()]
    if not before or not rest or rest[0].startswith("-"):
        return []
    command = group.get_command(click.Context(group), before[0])
    if command is None:
        return [before[0]]
    known = {"-h", "--help", *(option for one in (command, group) for p in one.params for option in p.opts)}
    return [word for word in (one.partition("=")[0].rstrip(".,)") for one in rest) if is_option(word) - known]


def is_option(word: str) -> set[str]:
    """The word as a set where it is an option, else nothing."""
    return {word} if re.fullmatch(r"--?[a-z][a-z-]*", word) else set()


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_every_link_leads_somewhere(name: str) -> None:
    assert broken_links(name, DOCUMENTS[name]) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    document = "[a](nowhere.md) [b](README.md#no-such-heading) [c](#there) [d](#here)\n# Here\n"
    assert broken_links("x.md", document) == ["nowhere.md", "README.md#no-such-heading", "#there"]


def test_the_diagram_of_states_is_the_table() -> None:
    drawn = {(State(start), Event[event], State(end)) for start, event, end in diagram()}
    table = {(start, event, end) for start, events in TRANSITIONS.items() for event, end in events.items()}
    assert drawn == table
    assert len(diagram()) == len(drawn)


def diagram() -> list[tuple[str, str, str]]:
    """The lines of the diagram in ARCHITECTURE.md."""
    return TRANSITION.findall(DOCUMENTS["ARCHITECTURE.md"])


def test_the_states_without_an_event_are_the_ends() -> None:
    ends = [state.value for state in State if not TRANSITIONS[state]]
    assert " and ".join([", ".join(f"`{end}`" for end in ends[:-1]), f"`{ends[-1]}`"]) in DOCUMENTS["ARCHITECTURE.md"]


def test_the_architecture_is_read_in_one_sitting() -> None:
    assert len(DOCUMENTS["ARCHITECTURE.md"].splitlines()) <= ARCHITECTURE_LINES


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_commands_and_options_in_documents_exist(name: str) -> None:
    unknown = {" ".join(words): faults for words in command_lines(DOCUMENTS[name]) if (faults := unknown_words(words))}
    assert unknown == {}


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("execctl watch 4711", ["watch"]),
        ("execctl attach 4711 --perfect", ["--perfect"]),
        ("execd start --foreground --twice", ["--twice"]),
        ("execctl export s12 --format pprof -o FILE", []),
    ],
)
def test_what_a_command_does_not_know_is_found(line: str, unknown: list[str]) -> None:
    assert unknown_words(line.split()) == unknown


def test_every_command_is_documented() -> None:
    assert [name for name in COMMANDS if f"`{name}" not in DOCUMENTS["docs/commands.md"]] == []


@pytest.mark.parametrize("message", quoted_messages())
def test_every_message_that_is_explained_can_appear(message: str) -> None:
    assert is_in_the_sources(message)


def test_every_caveat_of_the_collectors_is_explained() -> None:
    assert len(caveats_of_collectors()) > 1
    assert caveats_of_collectors() - set(quoted_messages()) == set()


def test_a_message_that_cannot_appear_is_found() -> None:
    assert not is_in_the_sources("process … has gone fishing")
