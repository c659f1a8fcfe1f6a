"""Checks SBOMs against the CycloneDX schema, and their components against Cargo.lock.

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
        errors = list(errors_of(text, path.name.removesuffix(".cdx.json"), checksums))
        print(f"{path.name}: {len(components)} components, {len(errors)} errors")
        for message in errors:
            print(f"{path.name}: {message}", file=sys.stderr)
        found += len(errors)
    if found or not lists:
        raise SystemExit(1)


def errors_of(text, binary, checksums):
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if error:
        yield f"not CycloneDX 1.5: {error}"
        return
    document = json.loads(text)
    described, components = document["metadata"]["component"], document.get("components", [])
    if described["name"] != binary:
        yield f"describes {described['name']}, expected {binary}"
    if not components:
        yield "lists no component"
    for component in components:
        key = component["name"], component["version"]
        listed = {it["content"] for it in component.get("hashes", []) if it["alg"] == "SHA-256"}
        if key not in checksums:
            yield f"{component['bom-ref']} is not in Cargo.lock"
        elif listed != {checksums[key]} - {None}:
            yield f"{component['bom-ref']} has a different checksum in Cargo.lock"
        if not component.get("licenses"):
            yield f"{component['bom-ref']} has no licence"
    known = {component["bom-ref"] for component in [described, *components]}
    for dependency in document.get("dependencies", []):
        for reference in {dependency["ref"], *dependency.get("dependsOn", [])} - known:
            yield f"depends on {reference}, which is not a listed component"


main()
