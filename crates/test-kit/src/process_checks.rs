//! Checks that hold for the process of every service.

use std::collections::BTreeMap;

use conf::Conf;
use conf::introspection::ProgramOptionMeta;

use crate::process::{Process, run_until_exit};
use crate::world::World;

/// Checks that with only these variables, the process names every missing or wrong setting and
/// exits with code 78.
pub fn reports_all_errors(binary: &str, variables: &[(&str, &str)], errors: &[&str]) {
    let variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let output = run_until_exit(binary, &[], &variables);
    let report = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{report}");
    for name in errors {
        assert!(report.contains(name), "{name} is missing in: {report}");
    }
}

/// Checks that `--help` names every variable of the configuration `C`.
pub fn help_lists_variables_of<C: Conf>(binary: &str) {
    let output = run_until_exit(binary, &["--help"], &BTreeMap::new());
    let help = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    let variables: Vec<String> =
        C::program_options().filter_map(|option| Some(option.env_form()?.to_string())).collect();
    assert!(variables.len() > 5);
    for name in variables {
        assert!(help.contains(&name), "{name} is missing in: {help}");
    }
}

/// Checks that a ready process exits with code 0 after SIGTERM.
pub async fn exits_on_sigterm(binary: &str) {
    let world = World::create().await;
    let process = Process::start(binary, &world).await;
    assert_eq!(process.terminate().await.code(), Some(0));
}
