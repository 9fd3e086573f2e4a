"""Checks what was built for macOS on another system: check-darwin.py

Nobody has run it, so this looks at everything that shows without a Mac: each fault here would keep it from being loaded.
"""

import hashlib
import re
import struct
import sys
from pathlib import Path

import lief

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "artifacts/unverified"
PROCESSORS = {"arm64": lief.MachO.Header.CPU_TYPE.ARM64, "x64": lief.MachO.Header.CPU_TYPE.X86_64}
OLDEST_SYSTEM = [11, 0, 0]
ENTRY = "_napi_register_module_v1"
# What the compiler and the linker put into every library.
COMPILERS_OWN = {"___isPlatformVersionAtLeast", "___isOSVersionAtLeast", "__mh_dylib_header", "___dso_handle"}
LIBRARIES = {"/usr/lib/libSystem.B.dylib"}
# Of the system that builds: a home, a checkout, a toolchain.
BUILDERS = ["/root", "/home", "/Users", "/usr/lib/rustlib", "/usr/src", "/usr/share", "/tmp", "/opt", "/build", str(ROOT), str(Path.home())]
BUILDERS_PATH = re.compile(rb"(?:%s)/[ -~]*" % b"|".join(re.escape(path.encode()) for path in BUILDERS))

# Apple's cs_blobs.h: all numbers are big-endian.
EMBEDDED_SIGNATURE = 0xFADE0CC0
CODE_DIRECTORY = 0xFADE0C02
AD_HOC = 0x2
SHA256 = 2


def check(path: Path) -> list[str]:
    """The faults of a binary."""
    binary = lief.MachO.parse(str(path)).at(0)
    processor = path.name.split(".")[1].removeprefix("darwin-")
    imported = {symbol.name for symbol in binary.imported_symbols}
    exported = {symbol.name for symbol in binary.exported_symbols}
    libraries = {library.name for library in binary.libraries if library.command != lief.MachO.LoadCommand.TYPE.ID_DYLIB}
    faults = {
        f"it is a {binary.header.file_type}": binary.header.file_type != lief.MachO.Header.FILE_TYPE.DYLIB,
        f"it is for {binary.build_version.platform}": binary.build_version.platform != lief.MachO.BuildVersion.PLATFORMS.MACOS,
        f"it is for {binary.header.cpu_type}": binary.header.cpu_type != PROCESSORS[processor],
        f"it needs system {binary.build_version.minos}": binary.build_version.minos != OLDEST_SYSTEM,
        f"it needs {sorted(libraries - LIBRARIES)}": libraries != LIBRARIES,
        "it needs Node-API when it is linked": any(name.startswith("_napi") for name in imported),
        f"it exports {sorted(exported)}": ENTRY not in exported or not exported <= COMPILERS_OWN | {ENTRY},
        f"it names {BUILDERS_PATH.findall(path.read_bytes())[:3]}": BUILDERS_PATH.search(path.read_bytes()),
        # On arm64 the system loads nothing that is not signed.
        "its signature does not fit": processor == "arm64" and not is_signed(binary, path.read_bytes()),
    }
    return [fault for fault, is_there in faults.items() if is_there]


def is_signed(binary: lief.MachO.Binary, data: bytes) -> bool:
    """Whether it has an ad-hoc signature with the hashes of all its pages."""
    if not binary.has_code_signature:
        return False
    start = binary.code_signature.data_offset
    magic, _, count = struct.unpack_from(">3I", data, start)
    offsets = [struct.unpack_from(">2I", data, start + 12 + 8 * index)[1] for index in range(count)]
    directories = [start + offset for offset in offsets if struct.unpack_from(">I", data, start + offset)[0] == CODE_DIRECTORY]
    return magic == EMBEDDED_SIGNATURE and len(directories) > 0 and all(holds(data, at, start) for at in directories)


def holds(data: bytes, at: int, end: int) -> bool:
    """Whether the hashes of a code directory are those of all pages before the signature."""
    flags, hashes, _, _, slots, limit = struct.unpack_from(">6I", data, at + 12)
    size, kind, _, log_of_page = struct.unpack_from(">4B", data, at + 36)
    pages = [data[start : min(start + (1 << log_of_page), limit)] for start in range(0, limit, 1 << log_of_page)]
    stored = [data[at + hashes + size * slot :][:size] for slot in range(slots)]
    covers_all = limit == end and slots > 0
    return covers_all and flags & AD_HOC != 0 and kind == SHA256 and [hashlib.sha256(page).digest() for page in pages] == stored


binaries = sorted(FOLDER.glob("echo-node.darwin-*.node"))
if len(binaries) != len(PROCESSORS):
    sys.exit(f"{FOLDER} must have a binary for each of {sorted(PROCESSORS)}, got {[path.name for path in binaries]}")
found = [f"{path.name}: {fault}" for path in binaries for fault in check(path)]
print("\n".join(found) or f"{len(binaries)} binaries for macOS: no fault is to be seen")
sys.exit(1 if found else 0)
