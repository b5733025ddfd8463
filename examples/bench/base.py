"""The sources and programs of an earlier commit, kept in the cache."""
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import programs

HERE = pathlib.Path(__file__).resolve().parent
# Where a base has none of the programs that measure, this tree's are built on its libraries. What those do not declare
# has another name there.
FORMER = [
    ("pub struct StateStore", "StateStore", "State"),
    ("pub fn events(", ".events()", ".messages()"),
    ("pub struct Events", "Events", "Messages"),
    ("pub async fn wait_for(", ".wait_for(", ".reached("),
    ("pub async fn wait_until_addable(", ".wait_until_addable()", ".left_key_packages()"),
]
WORKSPACE = re.compile(r"^([\w-]+)(?:\.workspace = true| = \{ workspace = true\b.*)$")


class Base:
    """An earlier commit."""

    def __init__(self, commit: str, cache: pathlib.Path):
        self.commit = git("rev-parse", "--verify", f"{commit}^{{commit}}").strip()
        self.target = cache / "base/target"
        self.source = cache / "base" / self.commit / "source"
        if not self.source.exists():
            extract(self.commit, self.source)
        if not (self.source / "examples/bench/src/bin").exists() or (self.source / "borrowed").exists():
            borrow(self.source)

    def build(self, names: list, profile: str) -> dict:
        """Builds its programs, in a target directory that all bases share."""
        print(f"==> the base, {self.commit[:12]}:", file=sys.stderr)
        return programs.build(names, profile, self.source, self.target)


def git(*arguments: str) -> str:
    found = subprocess.run(["git", *arguments], cwd=HERE, stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        sys.exit("BASE has to be a commit of this repository")
    return found.stdout


def extract(commit: str, source: pathlib.Path) -> None:
    partial = source.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    with subprocess.Popen(["git", "archive", commit], cwd=programs.ROOT, stdout=subprocess.PIPE) as archive:
        with tarfile.open(fileobj=archive.stdout, mode="r|") as files:
            files.extractall(partial, filter="data")
    partial.rename(source)


def borrow(source: pathlib.Path) -> None:
    """Replaces a base's programs that measure by this tree's."""
    (source / "borrowed").touch()
    offered = (source / "Cargo.toml").read_text()
    libraries = "".join(path.read_text() for path in source.glob("skytale-*/src/**/*.rs"))
    for path in HERE.rglob("*"):
        if path.suffix not in (".rs", ".toml"):
            continue
        text = path.read_text()
        if path.suffix == ".toml":
            text = "".join(line for line in text.splitlines(keepends=True) if is_offered(line, offered))
        else:
            text = renamed(text, libraries)
        write(source / "examples/bench" / path.relative_to(HERE), text)


def is_offered(line: str, workspace: str) -> bool:
    """Tells whether a workspace has what a line of a manifest takes from it."""
    taken = WORKSPACE.match(line)
    is_dependency = taken and taken[1] not in ("version", "edition", "rust-version", "license", "workspace")
    return not is_dependency or re.search(rf"^{re.escape(taken[1])} = ", workspace, re.MULTILINE) is not None


def renamed(text: str, libraries: str) -> str:
    """Uses the former names of what a base's libraries do not know by its present one."""
    for declaration, present, former in FORMER:
        if declaration not in libraries:
            text = text.replace(present, former)
    return text


def write(path: pathlib.Path, text: str) -> None:
    """Writes a file that changes; one that is as it was is not built again."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
