//! Format and filter of logs, and the settings of traces.

use std::str::FromStr;

use conf::Conf;
use tracing_subscriber::filter::Targets;

use crate::telemetry::trace_settings::TraceSettings;

/// Settings of logs and traces.
#[derive(Clone, Debug, Conf)]
pub struct TelemetrySettings {
    /// Log format: `json`, `text` or `auto` (`text` on a terminal, otherwise `json`)
    #[conf(env, default_value = "auto")]
    pub log_format: LogFormat,

    /// Log filter: a level, or directives such as `info,sales_api=debug`
    #[conf(env, default_value = "info,actix_server=warn", value_parser = parse_log_filter)]
    pub rust_log: Targets,

    /// Export and sampling of traces.
    #[conf(flatten)]
    pub traces: TraceSettings,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Human-readable text.
    Text,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be auto, json or text"),
        }
    }
}

/// Rejects what `Targets` misreads: an empty directive as everything, and a span as a target.
fn parse_log_filter(text: &str) -> Result<Targets, String> {
    let directives: Vec<_> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    if directives.is_empty() {
        return Err("must contain a level, such as info".to_owned());
    }
    if let Some(span) = directives.iter().find(|it| it.contains('[')) {
        return Err(format!("must filter by level and target, not by span: {span}"));
    }
    directives.join(",").parse().map_err(|error| format!("is not a log filter: {error}"))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_log_filter_has_levels_and_targets() {
        let filter = parse_log_filter(" info, sales_api=debug ,").unwrap();
        assert!(filter.would_enable("sales_api", &Level::DEBUG));
        assert!(!filter.would_enable("hyper", &Level::DEBUG));
        for refused in [",", "a=b=c", "[order]=debug", "info,[order{id=1}]=debug"] {
            assert!(parse_log_filter(refused).is_err(), "{refused}");
        }
    }
}
