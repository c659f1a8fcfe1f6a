//! Signals. The kernel delivers them to the first process of a container only if it handles them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use system_tests::RunningCommand;
use test_kit::free_port;

#[tokio::test]
async fn a_waiting_command_handles_termination_signals() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let url = format!("postgres://sales@127.0.0.1:{}/sales", free_port());
        let variables = BTreeMap::from([("DATABASE_URL".to_owned(), url)]);
        let mut waiting = RunningCommand::start("salesctl", &["migrate"], &variables);
        let mut report = String::new();
        BufReader::new(waiting.child().stderr.as_mut().unwrap()).read_line(&mut report).unwrap();
        assert!(report.contains("waiting for it"), "{report}");
        waiting.signal(signal);
        // The code is `None` if the signal killed the process.
        assert_eq!(waiting.end().await.code, Some(code), "{signal}");
    }
}
