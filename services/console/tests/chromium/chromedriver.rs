//! The process that starts and controls browsers.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::Method;
use serde_json::Value;
use url::{ParseError, Url};

/// A running chromedriver. Dropping this value kills it.
#[derive(Debug)]
pub(crate) struct Chromedriver {
    process: Child,
    /// Stays open: the process may print more.
    _output: BufReader<ChildStdout>,
    port: u16,
}

impl Chromedriver {
    /// Starts it on a free port.
    pub(crate) fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot run chromedriver; deploy/local/prerequisites test installs it");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let started = "started successfully on port ";
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "chromedriver has ended");
            if let Some((_, port)) = line.split_once(started) {
                break port.trim().trim_end_matches('.').parse().unwrap();
            }
        };
        Self { process, _output: output, port }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that only chromedriver has.
#[derive(Debug)]
pub(crate) struct ChromeCommand {
    path: &'static str,
    parameters: Value,
}

impl ChromeCommand {
    pub(crate) fn new(path: &'static str, parameters: Value) -> Self {
        Self { path, parameters }
    }
}

impl WebDriverCompatibleCommand for ChromeCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.parameters.to_string()))
    }
}
