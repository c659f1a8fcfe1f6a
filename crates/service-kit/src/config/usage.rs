//! Rewrites the messages of `conf` for users: the originals name structs and fields of the code.

use std::ffi::OsString;

use conf::Conf;

/// Reads the arguments of a process and its environment, and rewrites the errors for users.
///
/// # Errors
///
/// The message to print before the process ends: `--help`, `--version`, or all missing and wrong
/// settings.
pub fn parse<C: Conf>(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<C, Message> {
    C::try_parse_from(arguments, environment).map_err(|error| Message {
        text: in_plain_words(&error.to_string()),
        is_error: error.exit_code() != 0,
    })
}

/// A message to print before the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The text, with a line end.
    pub text: String,
    /// Whether it reports errors; false for `--help` and `--version`.
    pub is_error: bool,
}

impl Message {
    /// Prints errors to stderr, and requested output to stdout.
    pub fn print(&self) {
        if self.is_error {
            eprint!("{}", self.text);
        } else {
            print!("{}", self.text);
        }
    }
}

fn in_plain_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let plain = lines.iter().enumerate().filter_map(|(number, line)| {
        let content = line.trim();
        let indent = &line[..line.len() - line.trim_start().len()];
        let plain = match placeholder(content, '<', '>') {
            Some(_) => variable_of(&lines[number + 1..]).unwrap_or(content).to_owned(),
            // Under "Arguments:".
            None if indent.len() == 2 => argument(&sentence(content)?),
            None => sentence(content)?,
        };
        Some(format!("{indent}{plain}\n"))
    });
    plain.collect()
}

/// A line without names of structs; `None` if nothing is left.
fn sentence(line: &str) -> Option<String> {
    // One of these must be provided: (constraint on AccessSettings @ .access.tokens):
    if let Some((what, _)) = line.split_once(" (constraint on ") {
        return Some(what.to_owned());
    }
    // LimitSettings value was invalid (@ .limits.): RATE_LIMIT_BURST requires ...
    if let Some((_, error)) = line.split_once(" value was invalid") {
        return error.split_once(": ").map(|(_, error)| error.to_owned());
    }
    // A subcommand must be selected (Orders::command):
    if let Some((what, _)) = line.split_once(" must be selected (") {
        return Some(format!("{what} must be selected:"));
    }
    if let Some(error) = line.strip_prefix("when parsing '' value ") {
        return Some(format!("when parsing {error}"));
    }
    if line.starts_with("Usage: ") || line.starts_with('-') {
        return Some(line.split(' ').map(argument).collect::<Vec<_>>().join(" "));
    }
    Some(line.to_owned())
}

/// The variable that the lines under a placeholder contain.
fn variable_of<'l>(below: &[&'l str]) -> Option<&'l str> {
    let own = below.iter().take_while(|line| placeholder(line.trim(), '<', '>').is_none());
    let name = own.into_iter().find_map(|line| line.trim().strip_prefix("[env: "))?;
    name.split(['=', ']']).next()
}

/// Shows an argument as required, and an option's value by its name. `conf` checks required
/// arguments itself and shows them as optional, and it names a value by the path of its field.
fn argument(word: &str) -> String {
    match placeholder(word, '[', ']').or_else(|| placeholder(word, '<', '>')) {
        Some(name) => format!("<{}>", name.rsplit('.').next().unwrap_or(name)),
        None => word.to_owned(),
    }
}

/// The name of a field, if the text is that name in brackets and nothing else.
fn placeholder(text: &str, open: char, close: char) -> Option<&str> {
    let name = text.strip_prefix(open)?.strip_suffix(close)?;
    let of_a_field = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.');
    (!name.is_empty() && name.chars().all(of_a_field)).then_some(name)
}

#[cfg(test)]
mod tests {
    use conf::{Conf, Subcommands};

    use super::*;

    #[derive(Debug, Conf)]
    #[conf(name = "tool")]
    struct Tool {
        #[conf(subcommands)]
        command: Command,
    }

    #[derive(Debug, Subcommands)]
    enum Command {
        /// Shows one
        Show(Show),
    }

    #[derive(Debug, Conf)]
    struct Show {
        #[conf(flatten)]
        access: Access,

        /// Which one
        #[conf(pos)]
        id: u32,
    }

    #[derive(Debug, Conf)]
    #[conf(one_of_fields(secret, token), validation_predicate = Access::check)]
    struct Access {
        /// A secret
        #[conf(env)]
        secret: Option<String>,

        /// A token
        #[conf(env, secret)]
        token: Option<String>,

        /// Seconds
        #[conf(long, default_value = "1")]
        wait: u32,
    }

    impl Access {
        fn check(&self) -> Result<(), &'static str> {
            if self.token.as_deref() == Some("x") { Err("TOKEN must not be x") } else { Ok(()) }
        }
    }

    fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let arguments = ["tool"].iter().chain(arguments).map(OsString::from);
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        match parse::<Tool>(arguments, environment) {
            Err(message) => message.text,
            Ok(tool) => match tool.command {
                Command::Show(Show { access, id }) => format!("{id} {access:?} {}", access.wait),
            },
        }
    }

    #[test]
    fn errors_name_settings_and_not_code() {
        for (arguments, environment, expected) in [
            (&[][..], &[][..], "A subcommand must be selected:\n    show\n"),
            (&["show", "1"], &[], "One of these must be provided:\n    env 'SECRET'\n"),
            (&["show", "x"], &[("SECRET", "s")], "  when parsing 'x': invalid digit"),
            (&["show", "1"], &[("TOKEN", "x")], "  TOKEN must not be x\n"),
        ] {
            let printed = printed(arguments, environment);
            assert!(printed.contains(expected), "{printed}");
            for internal in ["Access", "Tool", "access", "::", "@"] {
                assert!(!printed.contains(internal), "{printed}");
            }
        }
    }

    #[test]
    fn help_names_variables_and_required_arguments() {
        let help = printed(&["show", "--help"], &[]);
        assert!(help.contains("Usage: tool show [OPTIONS] <id>\n\nArguments:\n  <id>"), "{help}");
        assert!(
            help.contains("\n      SECRET\n          A secret\n          [env: SECRET="),
            "{help}"
        );
        assert!(help.contains("[secret]") && help.contains("--wait <wait>"), "{help}");
        assert!(!help.contains("<access"), "{help}");
    }
}
