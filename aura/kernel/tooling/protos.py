"""Generates Python from the contracts, and holds the contracts to their rules.

`python -m aura.kernel.tooling.protos generate | check | lint | breaking | release VERSION | image FILE`
"""

from __future__ import annotations

import filecmp
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2

from aura.kernel.tooling.comments import comments_in, write_comments

ROOT = Path(__file__).resolve().parents[3]
PROTOS = ROOT / "protos"
GENERATED = ROOT / "generated"
RELEASED = PROTOS / "released"
BUF_CONFIG = PROTOS / "buf.yaml"
VALIDATE_PROTO = "buf/validate/validate.proto"
ERROR_PROTOS = ("google/rpc/error_details.proto", "google/rpc/status.proto")
"""What REST clients meet of others' contracts, so that the comments in it are wanted too."""
COMMENTS = "comments.json"
ADDS_SERVICER = re.compile(r"^def add_\w+_to_server", re.MULTILINE)
OWN_IMPORT = re.compile(r"^(from|import) (aura|buf)\.", re.MULTILINE)


class ProtosError(Exception):
    """Says in one line what is wrong with the contracts or with `generated/`."""


def contract_files(protos: Path = PROTOS) -> list[str]:
    """Returns the paths of all contracts, relative to `protos`, sorted."""
    return sorted(str(path.relative_to(protos)) for path in (protos / "aura").rglob("*.proto"))


def generate(target: Path, protos: Path = PROTOS) -> None:
    """Writes the Python for all contracts below `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    _protoc(protos, [*outputs, *contract_files(protos), VALIDATE_PROTO])
    for path in target.rglob("*_pb2_grpc.py*"):
        if not ADDS_SERVICER.search(path.read_text()):
            path.unlink()
    for path in target.rglob("*.py*"):
        path.write_text(OWN_IMPORT.sub(r"\1 generated.\2.", path.read_text()))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()
    write_comments(target / COMMENTS, _comments(protos))


def build_image(target: Path, protos: Path = PROTOS, *, source_info: bool = True) -> None:
    """Writes the contracts and all they import as one `FileDescriptorSet`, which Buf reads as an image."""
    options = ["--include_imports", *(["--include_source_info"] if source_info else [])]
    _protoc(protos, [f"--descriptor_set_out={target}", *options, *contract_files(protos)])


def stale_files(target: Path = GENERATED) -> list[str]:
    """Returns the files of `generated/` that differ from what the contracts give, sorted; none if it is fresh."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "generated"
        generate(fresh)
        names = _files(fresh) | _files(target)
        return sorted(
            name
            for name in names
            if not ((fresh / name).is_file() and (target / name).is_file())
            or not filecmp.cmp(fresh / name, target / name, shallow=False)
        )


def lint(protos: Path = PROTOS) -> str:
    """Returns what `buf lint` finds in the contracts; empty if nothing."""
    return _buf(protos, "lint")


def breaking(protos: Path = PROTOS, released: Path = RELEASED) -> str:
    """Returns what `buf breaking` finds against the last release; empty if nothing."""
    images = sorted(released.glob("*.binpb"), key=lambda path: [int(part) for part in path.stem.split(".")])
    if not images:
        raise ProtosError(f"no released image in {released}; make one: make protos-release VERSION=1.0.0")
    return _buf(protos, "breaking", f"--against={images[-1]}")


def _comments(protos: Path) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        options = [f"--descriptor_set_out={image}", "--include_imports", "--include_source_info"]
        _protoc(protos, [*options, *contract_files(protos), *ERROR_PROTOS])
        return comments_in(descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()))


def _buf(protos: Path, command: str, *options: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        build_image(image, protos)
        buf = Path(sys.executable).parent / "buf"
        done = subprocess.run(  # noqa: S603 the arguments are ours
            [buf, command, image, f"--config={BUF_CONFIG}", *options], capture_output=True, text=True, check=False
        )
    if done.returncode and not done.stdout:
        raise ProtosError(done.stderr.strip())
    return done.stdout


def _protoc(protos: Path, arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "validate.binpb"
        descriptors.write_bytes(_validate_descriptors())
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", *_include_paths()]
        done = subprocess.run(  # noqa: S603 the arguments are ours
            [*command, f"--descriptor_set_in={descriptors}", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": str(Path(sys.executable).parent)},
        )
    if done.returncode:
        raise ProtosError(done.stderr.strip())


def _include_paths() -> list[str]:
    return [f"-I{_package('google.api').parents[1]}", f"-I{_package('grpc_tools') / '_proto'}"]


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ProtosError(f"the package {name} is not installed; run `make test` once, it installs all that is needed")
    return Path(spec.submodule_search_locations[0])


def _validate_descriptors() -> bytes:
    """Returns validate.proto and its imports, out of the protovalidate wheel, which has no .proto file."""
    validate_pb = importlib.import_module("protovalidate._gen.buf.validate.validate_pb")
    files = [
        module.DESCRIPTOR.serialized_pb for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)
    ]
    files.append(validate_pb._DESC.proto.to_binary())  # noqa: SLF001 the wheel has no public way to its descriptor
    return descriptor_pb2.FileDescriptorSet(
        file=[descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]
    ).SerializeToString()


def _files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main(arguments: list[str]) -> int:
    """Runs one command; returns 0 if all is well, 1 otherwise."""
    match arguments:
        case ["generate"]:
            generate(GENERATED)
            findings = ""
        case ["check"]:
            stale = stale_files()
            findings = "".join(f"generated/{name} is stale; run: make protos\n" for name in stale)
        case ["lint"]:
            findings = lint()
        case ["breaking"]:
            findings = breaking()
        case ["release", version]:
            RELEASED.mkdir(exist_ok=True)
            build_image(RELEASED / f"{version}.binpb", source_info=False)
            findings = ""
        case ["image", file]:
            build_image(Path(file))
            findings = ""
        case _:
            findings = f"{__doc__}\n"
    sys.stderr.write(findings)
    return 1 if findings else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ProtosError as error:
        sys.exit(str(error))
