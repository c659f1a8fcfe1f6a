//! Export and sampling of traces, by OpenTelemetry's standard variables.

use std::str::FromStr;

use conf::Conf;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::Sampler;
use url::Url;

use crate::config::parse_base_url;
use crate::telemetry::build_info;

/// Export and sampling of traces.
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = TraceSettings::check)]
pub struct TraceSettings {
    /// OTLP/HTTP endpoint to send traces to, such as `http://collector:4318`; no traces are sent
    /// when unset
    #[conf(env, value_parser = parse_base_url)]
    pub otel_exporter_otlp_endpoint: Option<Url>,

    /// Trace sampler: `always_on`, `always_off` or `traceidratio`; with the prefix `parentbased_`,
    /// the parent span's decision takes precedence
    #[conf(env, default_value = "parentbased_always_on")]
    pub otel_traces_sampler: SamplerName,

    /// Fraction of the traces that `traceidratio` records, from 0 to 1; all traces when unset
    #[conf(env, value_parser = parse_ratio)]
    pub otel_traces_sampler_arg: Option<f64>,

    /// Service name in traces; the service's own name when unset
    #[conf(env)]
    pub otel_service_name: Option<String>,

    /// Additional resource attributes in traces, such as
    /// `deployment.environment.name=production,team=sales`
    #[conf(env)]
    pub otel_resource_attributes: Option<ResourceAttributes>,
}

/// The sampler that decides whether a trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplerName {
    root: Root,
    parent_based: bool,
}

/// The sampler for a trace that begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    AlwaysOn,
    AlwaysOff,
    Ratio,
}

impl FromStr for SamplerName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, parent_based) = match text.strip_prefix("parentbased_") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let root = match name {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" => Root::Ratio,
            _ => {
                return Err("must be always_on, always_off or traceidratio, optionally with the \
                    prefix parentbased_");
            }
        };
        Ok(Self { root, parent_based })
    }
}

/// Names with values, `name=value,name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceAttributes(Vec<(String, String)>);

impl FromStr for ResourceAttributes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pairs = text.split_terminator(',').map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        });
        pairs.collect::<Option<_>>().map(Self).ok_or("must be a list name=value,name=value")
    }
}

impl TraceSettings {
    fn check(&self) -> Result<(), &'static str> {
        if self.otel_traces_sampler_arg.is_some() && self.otel_traces_sampler.root != Root::Ratio {
            return Err("OTEL_TRACES_SAMPLER_ARG requires the sampler traceidratio or \
                parentbased_traceidratio in OTEL_TRACES_SAMPLER");
        }
        Ok(())
    }

    pub(crate) fn sampler(&self) -> Sampler {
        let SamplerName { root, parent_based } = self.otel_traces_sampler;
        let root = match root {
            Root::AlwaysOn => Sampler::AlwaysOn,
            Root::AlwaysOff => Sampler::AlwaysOff,
            Root::Ratio => Sampler::TraceIdRatioBased(self.otel_traces_sampler_arg.unwrap_or(1.0)),
        };
        if parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
    }

    /// The attributes of the sender of the traces. The settings override the built-in values.
    pub(crate) fn resource(&self, service: &'static str) -> Resource {
        let own = [("service.name", service), ("service.version", build_info::VERSION)].into_iter();
        let given = self.otel_resource_attributes.iter().flat_map(|it| it.0.clone());
        let name = self.otel_service_name.clone().map(|name| KeyValue::new("service.name", name));
        Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attributes(own.map(|(name, value)| KeyValue::new(name, value)))
            .with_attributes(given.map(|(name, value)| KeyValue::new(name, value)))
            .with_attributes(name)
            .build()
    }
}

fn parse_ratio(text: &str) -> Result<f64, &'static str> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or("must be a number from 0 to 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(env: &[(&str, &str)]) -> Result<TraceSettings, String> {
        TraceSettings::try_parse_from(["service"], env.iter().copied())
            .map_err(|error| error.to_string())
    }

    fn sampler(name: &str, ratio: Option<&str>) -> String {
        let mut env = vec![("OTEL_TRACES_SAMPLER", name)];
        env.extend(ratio.map(|ratio| ("OTEL_TRACES_SAMPLER_ARG", ratio)));
        format!("{:?}", parse(&env).unwrap().sampler())
    }

    #[test]
    fn samplers_have_their_standard_names() {
        assert_eq!(format!("{:?}", parse(&[]).unwrap().sampler()), "ParentBased(AlwaysOn)");
        assert_eq!(sampler("always_on", None), "AlwaysOn");
        assert_eq!(sampler("parentbased_always_off", None), "ParentBased(AlwaysOff)");
        assert_eq!(sampler("traceidratio", None), "TraceIdRatioBased(1.0)");
        assert_eq!(
            sampler("parentbased_traceidratio", Some("0.05")),
            "ParentBased(TraceIdRatioBased(0.05))"
        );
    }

    #[test]
    fn invalid_settings_are_reported_by_name() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
            ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
            ("OTEL_RESOURCE_ATTRIBUTES", "production"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=production"),
        ] {
            let report = parse(&[(name, value)]).unwrap_err();
            assert!(report.contains(name), "{report}");
        }
        // A ratio without a ratio sampler.
        let report = parse(&[("OTEL_TRACES_SAMPLER_ARG", "0.5")]).unwrap_err();
        assert!(report.contains("requires the sampler"), "{report}");
    }

    #[test]
    fn settings_override_built_in_attributes() {
        let attribute = |env: &[(&str, &str)], name: &'static str| {
            let resource = parse(env).unwrap().resource("sales-api");
            resource.get(&name.into()).unwrap().to_string()
        };
        assert_eq!(attribute(&[], "service.name"), "sales-api");
        assert_eq!(attribute(&[], "service.version"), build_info::VERSION);
        assert_eq!(attribute(&[], "telemetry.sdk.language"), "rust");
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop, team=sales,");
        assert_eq!(attribute(&[attributes], "service.name"), "shop");
        assert_eq!(attribute(&[attributes], "team"), "sales");
        assert_eq!(attribute(&[attributes, ("OTEL_SERVICE_NAME", "api")], "service.name"), "api");
    }
}
