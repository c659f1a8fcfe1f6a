"""Facts about the project that the manifests must match.

Nothing is duplicated here. Settings and ports come from docs/CONFIGURATION.md, whose tables are
generated from the code, topics and partitions from `contracts`, and secrets from docs/DEPLOYMENT.md.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml


class Unreadable(Exception):
    """A file of the project does not have the expected content."""


@dataclass(frozen=True)
class Project:
    root: Path

    def read(self, file):
        return (self.root / file).read_text(encoding="utf-8")

    def find(self, file, pattern):
        match = re.search(pattern, self.read(file), re.MULTILINE)
        if not match:
            raise Unreadable(f"{file} has no match for {pattern}")
        return match[1]

    @cached_property
    def services(self):
        """The long-running programs. Each is also an image, as is salesctl."""
        return {path.parents[1].name for path in self.root.glob("services/*/src/config.rs")}

    @cached_property
    def settings(self):
        """{service: {variable: default}}, from the tables of docs/CONFIGURATION.md."""
        rows = [
            [cell.strip() for cell in line.replace("`", "").split("|")[1:-1]]
            for line in self.read("docs/CONFIGURATION.md").splitlines()
            if line.startswith("| `") and line.count("|") == 6
        ]
        if not rows:
            raise Unreadable("docs/CONFIGURATION.md has no table of settings")
        known = {name: {} for name in self.services}
        for variable, default, _, users, _ in rows:
            for service in known:
                if {"all services", service} & set(users.split(", ")):
                    known[service][variable] = default
        # salesctl accepts all settings.
        known["salesctl"] = {variable: "none" for variable, *_ in rows}
        return known

    @cached_property
    def ports(self):
        """{service: {"http": 3000, "management": 9101}}: the default ports of code and image."""
        names = {"PORT": "http", "MANAGEMENT_PORT": "management"}
        ports = {}
        for service in self.services:
            code = {port: int(self.settings[service][port]) for port in names if port in self.settings[service]}
            image = self.find("deploy/docker/Dockerfile", rf"^FROM runtime AS {service}\n(?:(?!^FROM).*\n)*?^ENV (.*)$")
            shown = {port: int(number) for port, number in re.findall(r"(\w+)=(\d+)", image)}
            if shown != code:
                raise Unreadable(f"ports of {service} differ: Dockerfile {shown}, docs/CONFIGURATION.md {code}")
            ports[service] = {names[port]: number for port, number in code.items()}
        return ports

    @cached_property
    def topics(self):
        """{group: topic} for the two consumers."""
        names = dict(
            re.findall(r'^pub const (\w+): &str = "([^"]+)";', self.read("crates/contracts/src/topics.rs"), re.M)
        )
        return {names["DELIVERY_GROUP"]: names["ORDER_EVENTS"], names["STATUS_GROUP"]: names["DELIVERY_EVENTS"]}

    @cached_property
    def partitions(self):
        return int(self.find("crates/contracts/src/topics.rs", r"partitions: (\d+),"))

    @cached_property
    def version(self):
        return self.find("Cargo.toml", r'^version = "([^"]+)"')

    @cached_property
    def compose_images(self):
        compose = yaml.safe_load(self.read("docker-compose.yml"))
        return {service["image"].partition("@")[0] for service in compose["services"].values() if "image" in service}

    @cached_property
    def documented_secrets(self):
        """{(secret, key)} from the table in docs/DEPLOYMENT.md."""
        return set(re.findall(r"^\| `([\w-]+)` \| `([\w.-]+)` \|", self.read("docs/DEPLOYMENT.md"), re.M))
