"""Checks lists of components: CycloneDX' own schema, and that what they say of each component is what Cargo.lock says.

    python3 check_sbom.py Cargo.lock LIST...
"""

import json
import sys
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main():
    lock, *lists = map(Path, sys.argv[1:])
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    checksums = {(it["name"], it["version"]): it.get("checksum") for it in packages}
    found = 0
    for path in lists:
        text = path.read_text(encoding="utf-8")
        components = json.loads(text).get("components", [])
        faults = list(faults_of(text, path.name.removesuffix(".cdx.json"), checksums))
        print(f"{path.name}: {len(components)} components, {len(faults)} faults")
        for fault in faults:
            print(f"{path.name}: {fault}", file=sys.stderr)
        found += len(faults)
    if found or not lists:
        raise SystemExit(1)


def faults_of(text, binary, checksums):
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if error:
        yield f"not CycloneDX 1.5: {error}"
        return
    document = json.loads(text)
    described, components = document["metadata"]["component"], document.get("components", [])
    if described["name"] != binary:
        yield f"describes {described['name']}"
    if not components:
        yield "names no component"
    for component in components:
        key = component["name"], component["version"]
        listed = {it["content"] for it in component.get("hashes", []) if it["alg"] == "SHA-256"}
        if key not in checksums:
            yield f"{component['bom-ref']} is not in Cargo.lock"
        elif listed != {checksums[key]} - {None}:
            yield f"{component['bom-ref']} has another checksum than in Cargo.lock"
        if not component.get("licenses"):
            yield f"{component['bom-ref']} has no licence"
    known = {component["bom-ref"] for component in [described, *components]}
    for dependency in document.get("dependencies", []):
        for reference in {dependency["ref"], *dependency.get("dependsOn", [])} - known:
            yield f"depends on {reference}, which is no component"


main()
