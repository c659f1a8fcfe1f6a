//! `salesctl load`: places many orders and measures the responses.
//!
//! The load generator shares the machine with the system under test, so it is lean: one thread, one
//! task per connection, no client library above HTTP/1.1, and no parsing of successful responses.

mod connection;
mod drive;
mod orders;
mod pacer;
mod report;
mod schedule;
mod tally;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use domain::Owner;
use service_kit::config::{number_in, parse_base_url};
use url::Url;

use crate::failure::Failure;
use crate::output;
use crate::progress;
use crate::throttle::parse_rate;
use crate::token::{AccessSettings, parse_subject};
use connection::Target;
use drive::{LoadResult, Plan};
use report::Report;
use schedule::{Pace, Schedule};

#[derive(Conf)]
#[conf(one_of_fields(rate, max))]
pub(crate) struct Load {
    /// Base URL of the sales API; `load` supports only `http://`
    #[conf(env, default_value = "http://127.0.0.1:3000", value_parser = parse_url)]
    api_url: Url,

    #[conf(flatten)]
    tokens: AccessSettings,

    /// Requests per second. A latency starts when its request is due, so it includes the wait for a
    /// free connection
    #[conf(long, value_parser = parse_rate)]
    rate: Option<NonZeroU32>,

    /// As fast as possible: each connection sends the next request after each response
    #[conf(long)]
    max: bool,

    /// Number of connections, and so of concurrent requests
    #[conf(long, default_value = "64", value_parser = parse_concurrency)]
    concurrency: usize,

    /// Duration of the measurement in seconds
    #[conf(long, default_value = "10", value_parser = parse_duration)]
    duration: u64,

    /// Percentage of requests that replay an earlier order under its idempotency key
    #[conf(long, default_value = "0", value_parser = parse_percent)]
    repeat_percent: u8,

    /// Duration in seconds of the same load before the measurement, which is not counted
    #[conf(long, default_value = "0", value_parser = parse_warm_up)]
    warm_up: u64,

    /// Subject that will own the orders
    #[conf(long, default_value = "load", value_parser = parse_subject)]
    subject: Owner,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

/// The exit code of a shell for a process that SIGINT has ended.
const INTERRUPTED: u8 = 130;
/// How long the token outlives the load.
const TOKEN_RESERVE: Duration = Duration::from_hours(1);

impl Load {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let (warm_up, duration) =
            (Duration::from_secs(self.warm_up), Duration::from_secs(self.duration));
        let token =
            self.tokens.token(self.subject.as_str(), false, warm_up + duration + TOKEN_RESERVE)?;
        let pace = self.rate.map_or(Pace::Unlimited, Pace::PerSecond);
        let plan = Plan {
            schedule: Schedule::new(pace, warm_up, duration),
            connections: self.concurrency,
            repeat_percent: self.repeat_percent,
        };
        let url = self.api_url;
        let bar = progress::bar("loading", self.warm_up + self.duration);
        // A separate runtime with one thread: no task moves between cores.
        let run = move || -> Result<_, Failure> {
            let target = Target::new(&url, &token)?;
            let result = drive::run(plan, target, &bar)?;
            bar.finish_and_clear();
            Ok(result)
        };
        let LoadResult { tally, measured, interrupted } =
            tokio::task::spawn_blocking(run).await??;

        let report = Report::of(&tally, self.rate, self.concurrency, measured);
        output::print(self.json, &report, Report::text)?;
        Ok(match report.succeeded() {
            _ if interrupted => ExitCode::from(INTERRUPTED),
            0 => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        })
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = parse_base_url(text)?;
    if url.scheme() != "http" {
        return Err("load supports plain HTTP only: the URL must begin with http://".to_owned());
    }
    Ok(url)
}

fn parse_concurrency(text: &str) -> Result<usize, String> {
    number_in(text, 1..=10_000)
}

fn parse_duration(text: &str) -> Result<u64, String> {
    number_in(text, 1..=86_400)
}

fn parse_percent(text: &str) -> Result<u8, String> {
    number_in(text, 0..=100)
}

fn parse_warm_up(text: &str) -> Result<u64, String> {
    number_in(text, 0..=3600)
}
