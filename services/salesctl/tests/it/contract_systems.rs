//! The example of a simulated delivery works with an owner's token in the systems for trying things, and nowhere else.

use std::fs;
use std::path::Path;

use serde_yaml_ng::Value;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    fs::read_to_string(path).unwrap()
}

#[test]
fn owners_may_simulate_deliveries_in_the_local_systems_and_not_in_production() {
    let mut compose: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    compose.apply_merge().unwrap();
    let setting = &compose["services"]["sales-api"]["environment"]["SIMULATE_DELIVERY"];
    assert_eq!(setting, "${SIMULATE_DELIVERY:-owner}");

    let services = read("deploy/local/services");
    assert!(services.contains("export SIMULATE_DELIVERY=${SIMULATE_DELIVERY:-owner}"));

    let local = read("deploy/kubernetes/overlays/local/environment/kustomization.yaml");
    assert!(local.lines().any(|line| line.trim() == "- SIMULATE_DELIVERY=owner"), "{local}");
    let production = read("deploy/kubernetes/overlays/production/environment/kustomization.yaml");
    assert!(!production.contains("SIMULATE_DELIVERY"), "{production}");
}
