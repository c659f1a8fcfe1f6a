//! The settings of every program, read from its `--help`, and the documents that list them.
//!
//! The doc comments of the `conf` structs are the only descriptions of the settings. `--help`
//! prints them, and `make configuration` writes them into `docs/CONFIGURATION.md` and
//! `.env.example`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::{env, fs};

use conf::Conf;
use conf::introspection::ProgramOptionMeta;
use service_kit::config::usage;
use system_tests::path;
use test_kit::run_until_exit;

const SALESCTL: &str = "salesctl";
const ALL_SERVICES: usize = 6;

/// An environment variable that a program reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) variable: String,
    /// `None` without a default.
    pub(crate) default: Option<String>,
    /// Whether a service does not start without it.
    pub(crate) required: bool,
    /// Whether the value is masked in messages.
    secret: bool,
    /// The doc comment, in one line.
    description: String,
}

impl Setting {
    /// The unit, and the description without the unit.
    fn unit_and_meaning(&self) -> (&'static str, String) {
        for (words, unit) in [(", in milliseconds", "ms"), (", in percent", "%")] {
            if self.description.contains(words) {
                return (unit, self.description.replacen(words, "", 1));
            }
        }
        ("", self.description.clone())
    }

    fn section(&self, programs: &[&'static str]) -> &'static str {
        let name = self.variable.as_str();
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if begins(&["JWT_", "API_TOKEN"]) {
            "Tokens"
        } else if begins(&["DATABASE_", "DELIVERY_DATABASE_"]) {
            "PostgreSQL"
        } else if begins(&["KAFKA_", "CONSUMER_"]) {
            "Kafka"
        } else if name.ends_with("_TOPIC") || name.ends_with("_GROUP") {
            "Topics and consumer groups"
        } else if begins(&["OTEL_"]) {
            "Traces"
        } else if begins(&["SHUTDOWN_"]) || programs.len() == ALL_SERVICES {
            "All services"
        } else {
            programs[0]
        }
    }
}

/// A setting and the programs that read it.
struct Row {
    setting: Setting,
    programs: Vec<&'static str>,
}

/// The settings of one service.
fn settings<C: Conf>(service: &str) -> Vec<Setting> {
    let arguments = [service, "--help"].map(Into::into);
    let help = usage::parse::<C>(arguments, []).err().expect("--help is printed").text;
    let required: BTreeSet<String> = C::program_options()
        .filter(ProgramOptionMeta::is_required)
        .filter_map(|option| Some(option.env_form()?.to_string()))
        .collect();
    let mut settings = settings_in(&help);
    for setting in &mut settings {
        setting.required = required.contains(&setting.variable);
    }
    settings
}

/// Each service with its settings.
pub(crate) fn services() -> [(&'static str, Vec<Setting>); ALL_SERVICES] {
    [
        ("sales-api", settings::<sales_api::Config>("sales-api")),
        ("outbox-relay", settings::<outbox_relay::Config>("outbox-relay")),
        ("delivery-service", settings::<delivery_service::Config>("delivery-service")),
        ("status-consumer", settings::<status_consumer::Config>("status-consumer")),
        ("inventory-mock", settings::<inventory_mock::Config>("inventory-mock")),
        ("console", settings::<console::Config>("console")),
    ]
}

/// The settings of all commands of salesctl.
fn settings_of_salesctl() -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut paths = vec![Vec::<String>::new()];
    while let Some(path) = paths.pop() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let output = run_until_exit(SALESCTL, &arguments, &BTreeMap::new());
        let help = String::from_utf8(output.stdout).unwrap();
        let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let commands = commands.lines().take_while(|line| !line.is_empty());
        let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()) {
            if name != "help" {
                paths.push([&path[..], &[name.to_owned()]].concat());
            }
        }
        for setting in settings_in(&help) {
            if !settings.contains(&setting) {
                settings.push(setting);
            }
        }
    }
    settings.sort_by(|a, b| (&a.variable, &a.description).cmp(&(&b.variable, &b.description)));
    settings
}

/// The section "Environment variables" of a help text.
fn settings_in(help: &str) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let variables = help.split("\nEnvironment variables:\n").nth(1).unwrap_or_default();
    for line in variables.lines().filter(|line| !line.is_empty()) {
        let text = line.trim();
        if !line.starts_with("          ") {
            settings.push(Setting {
                variable: text.to_owned(),
                default: None,
                required: false,
                secret: false,
                description: String::new(),
            });
            continue;
        }
        let setting = settings.last_mut().expect("the name of a variable comes first");
        let default = text.strip_prefix("[default: ").and_then(|text| text.strip_suffix(']'));
        if let Some(default) = default {
            setting.default = Some(default.to_owned());
        } else if text == "[secret]" {
            setting.secret = true;
        } else if !text.starts_with("[env: ") {
            let space = if setting.description.is_empty() { "" } else { " " };
            write!(setting.description, "{space}{text}").unwrap();
        }
    }
    settings
}

/// Every setting once, with all programs for which it is the same.
fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let programs = services().into_iter().chain([(SALESCTL, settings_of_salesctl())]);
    for (program, settings) in programs {
        for setting in settings {
            // The help of salesctl does not show which settings are required.
            let same = |row: &&mut Row| {
                let it = &row.setting;
                it.variable == setting.variable
                    && it.description == setting.description
                    && (it.default == setting.default || program == SALESCTL)
            };
            match rows.iter_mut().find(same) {
                Some(row) => row.programs.push(program),
                None => rows.push(Row { setting, programs: vec![program] }),
            }
        }
    }
    rows
}

/// The rows by section, in the order of the document.
fn sections() -> Vec<(&'static str, Vec<Row>)> {
    let titles = [
        "All services",
        "Tokens",
        "PostgreSQL",
        "Kafka",
        "Topics and consumer groups",
        "sales-api",
        "outbox-relay",
        "delivery-service",
        "status-consumer",
        "inventory-mock",
        "console",
        "Traces",
        SALESCTL,
    ];
    let mut sections = titles.map(|title| (title, Vec::new()));
    for row in rows() {
        let title = row.setting.section(&row.programs);
        let section = sections.iter_mut().find(|(it, _)| *it == title).expect(title);
        section.1.push(row);
    }
    sections.into()
}

fn tables() -> String {
    let mut text = String::new();
    for (title, rows) in sections() {
        write!(text, "\n### {title}\n\n").unwrap();
        text += "| variable | default | unit | read by | meaning |\n|---|---|---|---|---|\n";
        for Row { setting, programs } in rows {
            let (unit, meaning) = setting.unit_and_meaning();
            // The help of salesctl states "required" in the description.
            let required = setting.required || meaning.ends_with("; required");
            let meaning = meaning.trim_end_matches("; required");
            let default = match &setting.default {
                _ if required => "required".to_owned(),
                Some(default) => format!("`{default}`"),
                None => "none".to_owned(),
            };
            let secret = if setting.secret { " [secret]" } else { "" };
            let services = programs.iter().filter(|program| **program != SALESCTL).count();
            let mut readers = programs.join(", ");
            if services == ALL_SERVICES {
                readers = [&["all services"], &programs[ALL_SERVICES..]].concat().join(", ");
            }
            let variable = setting.variable;
            let cells = [&format!("`{variable}`"), &default, unit, &readers];
            writeln!(text, "| {} | {meaning}{secret} |", cells.join(" | ")).unwrap();
        }
    }
    text
}

/// The settings as comments of an environment file.
fn examples() -> String {
    // These differ between the services or their instances.
    let own_values = ["PORT", "MANAGEMENT_PORT", "CONSUMER_INSTANCE", "OTEL_SERVICE_NAME"];
    // The hand-written part of the file sets these.
    let already_set = ["JWT_SECRET"];
    let mut listed: BTreeSet<String> =
        own_values.iter().chain(&already_set).map(ToString::to_string).collect();
    let mut text = String::new();
    for (title, rows) in sections() {
        let mut entries = String::new();
        for Row { setting, .. } in rows {
            if !listed.insert(setting.variable.clone()) {
                continue;
            }
            let secret = if setting.secret { " [secret]" } else { "" };
            for line in wrapped(&format!("{}{secret}", setting.description), 98) {
                writeln!(entries, "# {line}").unwrap();
            }
            let default = setting.default.unwrap_or_default();
            writeln!(entries, "#{}={default}", setting.variable).unwrap();
        }
        if !entries.is_empty() {
            write!(text, "\n# ---- {title}\n\n{entries}").unwrap();
        }
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            write!(line, " {word}").unwrap();
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Compares the generated part of a committed file, or writes it if `UPDATE_DOCS` is set.
fn assert_generated(file: &str, begin: &str, end: &str, generated: &str) {
    let committed = fs::read_to_string(path(file)).unwrap();
    let (before, rest) = committed.split_once(begin).expect(begin);
    let (part, after) = rest.split_once(end).expect(end);
    if env::var_os("UPDATE_DOCS").is_some() {
        let written = [before, begin, generated, end, after].concat();
        fs::write(path(file), written).unwrap();
    } else {
        assert!(
            part == generated,
            "{file} differs from the settings in the code; run `make configuration`"
        );
    }
}

#[test]
fn the_configuration_document_lists_the_settings_of_the_code() {
    let (begin, end) = ("<!-- generated by `make configuration` -->\n", "\n<!-- end -->\n");
    assert_generated("docs/CONFIGURATION.md", begin, end, &tables());
}

#[test]
fn the_example_environment_lists_the_settings_of_the_code() {
    let (begin, end) = ("# ==== Generated by `make configuration`\n", "\n# ==== End\n");
    assert_generated(".env.example", begin, end, &examples());
}

#[test]
fn every_setting_has_a_description_and_every_duration_its_unit() {
    let durations = [
        "TIMEOUT",
        "INTERVAL",
        "DELAY",
        "LEASE",
        "GRACE",
        "RETENTION",
        "MIN",
        "MAX",
        "ALIVE",
        "AGE",
    ];
    let rows = rows();
    assert!(rows.len() > 60, "{}", rows.len());
    for Row { setting, programs } in rows {
        let (variable, description) = (&setting.variable, &setting.description);
        assert!(!description.is_empty(), "{variable} of {programs:?} has no doc comment");
        assert!(!description.contains('|'), "{variable}: a table cell cannot contain '|'");
        let last = variable.rsplit('_').next().unwrap();
        let is_duration = durations.contains(&last);
        assert_eq!(setting.unit_and_meaning().0 == "ms", is_duration, "{variable}: {description}");
    }
}
