//! `bench load`: places many orders and measures the responses.
//!
//! The load generator shares the machine with the system under test, so it is lean: one thread, one
//! task per connection, no client library above HTTP/1.1, and no parsing of successful responses.

mod connection;
mod drive;
pub(crate) mod hooks;
mod pacer;
mod replays;
mod report;
mod schedule;
mod tally;

use std::io;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use domain::Owner;
use operations::parse_rate;
use operations::progress::bar;
use operations::token::{AccessSettings, parse_subject};
use service_kit::config::{parse_base_url, within};
use tokio::signal::ctrl_c;
use url::Url;

use self::connection::Target;
use self::drive::{LoadResult, Plan};
use self::hooks::Hooks;
use self::report::Report;
use self::schedule::{Pace, Schedule};
pub(crate) use self::tally::UNSENT;
use crate::failure::Failure;
use crate::latency::Tail;
use crate::report::print;
use crate::system::System;

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
    #[conf(long, default_value = "64", value_parser = within(1..=10_000))]
    concurrency: usize,

    /// Duration of the measurement in seconds
    #[conf(long, default_value = "10", value_parser = within(1..=86_400))]
    duration: u64,

    /// Percentage of requests that replay an earlier order under its idempotency key
    #[conf(long, default_value = "0", value_parser = within(0..=100))]
    repeat_percent: u8,

    /// Duration in seconds of the same load before the measurement, which is not counted
    #[conf(long, default_value = "0", value_parser = within(0..=3600))]
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
/// Warm-up of a measurement, in seconds.
pub(crate) const WARM_UP: u32 = 1;

impl Load {
    /// Loads the API until the end or SIGINT, and prints the report.
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let (report, interrupted) = self.drive(Hooks::default(), ctrl_c)?;
        print(self.json, &report, Report::text)?;
        Ok(match report.succeeded {
            _ if interrupted => ExitCode::from(INTERRUPTED),
            0 => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        })
    }

    /// Loads the API from this thread, so that no task moves between cores. Returns the report, and
    /// whether the load was interrupted.
    fn drive(
        &self,
        hooks: Hooks,
        interrupt: impl AsyncFn() -> io::Result<()>,
    ) -> Result<(Report, bool), Failure> {
        let (warm_up, duration) =
            (Duration::from_secs(self.warm_up), Duration::from_secs(self.duration));
        let token =
            self.tokens.token(self.subject.as_str(), false, warm_up + duration + TOKEN_RESERVE)?;
        let pace = self.rate.map_or(Pace::Unlimited, Pace::PerSecond);
        let plan = Plan {
            schedule: Schedule::new(pace, warm_up, duration),
            connections: self.concurrency,
            repeat_percent: self.repeat_percent,
            hooks,
        };
        let bar = bar("loading", self.warm_up + self.duration);
        let target = Target::new(&self.api_url, &token)?;
        let LoadResult { tally, measured, interrupted } =
            drive::run(plan, target, &bar, interrupt)?;
        bar.finish_and_clear();
        Ok((Report::of(tally, self.rate, self.concurrency, measured), interrupted))
    }
}

/// The figures of a load that other measurements use.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Orders per second.
    pub(crate) rate: f64,
    pub(crate) latency: Tail,
}

/// Loads the API of `system`. Fails if a request fails with a code that is not `allowed`, because
/// the figures are then invalid. At a rate that may be too high, [`UNSENT`] is allowed.
pub(crate) fn run(
    system: &System,
    pace: &str,
    connections: u32,
    seconds: u32,
    allowed: &[&str],
) -> Result<Figures, Failure> {
    run_with(Hooks::default(), system, pace, connections, seconds, allowed)
}

/// The same, with hooks.
pub(crate) fn run_with(
    hooks: Hooks,
    system: &System,
    pace: &str,
    connections: u32,
    seconds: u32,
    allowed: &[&str],
) -> Result<Figures, Failure> {
    let arguments = [
        pace.to_owned(),
        format!("--warm-up={WARM_UP}"),
        format!("--concurrency={connections}"),
        format!("--duration={seconds}"),
    ];
    let load: Load = system.parse(&arguments)?;
    let (report, _) = load.drive(hooks, async || {
        system.stopped().await;
        Ok(())
    })?;
    system.fail_if_stopping()?;
    match (report.errors, report.latency) {
        (errors, Some(latency)) if errors.keys().all(|it| allowed.contains(&it.as_str())) => {
            Ok(Figures { rate: report.rate, latency })
        }
        (errors, None) if errors.is_empty() => Err(format!("no request ended under {pace}").into()),
        (errors, _) => Err(format!("requests failed under {pace}: {errors:?}").into()),
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = parse_base_url(text)?;
    if url.scheme() != "http" {
        return Err("load supports plain HTTP only: the URL must begin with http://".to_owned());
    }
    Ok(url)
}
