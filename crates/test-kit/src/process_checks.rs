//! What holds for the process of every service.

use std::collections::BTreeMap;

use conf::Conf;
use conf::introspection::ProgramOptionMeta;

use crate::process::{Process, run_to_end};
use crate::world::World;

/// With these variables alone, the process reports all that is missing or wrong and ends with code 78.
pub fn reports_all_faults(binary: &str, variables: &[(&str, &str)], faults: &[&str]) {
    let variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let output = run_to_end(binary, &[], &variables);
    let report = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{report}");
    for name in faults {
        assert!(report.contains(name), "{name} is missing in: {report}");
    }
}

/// `--help` names every variable of the configuration `C`.
pub fn help_names_all_of<C: Conf>(binary: &str) {
    let output = run_to_end(binary, &["--help"], &BTreeMap::new());
    let help = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    let variables: Vec<String> =
        C::program_options().filter_map(|option| Some(option.env_form()?.to_string())).collect();
    assert!(variables.len() > 5);
    for name in variables {
        assert!(help.contains(&name), "{name} is missing in: {help}");
    }
}

/// A process that is ready ends with code 0 when it is asked to.
pub async fn ends_on_a_signal(binary: &str) {
    let world = World::create().await;
    let process = Process::start(binary, &world).await;
    assert_eq!(process.terminate().await.code(), Some(0));
}
