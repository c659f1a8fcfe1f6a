//! What `conf` prints, in the words of whoever reads it: its messages name the structs and fields of our code, which
//! nobody outside knows.

use std::ffi::OsString;

use conf::Conf;

/// Reads the arguments of a process and its environment, and takes the faults for what they are to a user.
///
/// # Errors
///
/// What to print instead of going on: `--help` and `--version`, or all that is missing or wrong.
pub fn parse<C: Conf>(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<C, Message> {
    C::try_parse_from(arguments, environment).map_err(|error| Message {
        text: in_plain_words(&error.to_string()),
        is_fault: error.exit_code() != 0,
    })
}

/// What is to be printed before the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The text, with a line end.
    pub text: String,
    /// Whether it names faults; otherwise it was asked for.
    pub is_fault: bool,
}

impl Message {
    /// Prints a fault to stderr, and what was asked for to stdout.
    pub fn print(&self) {
        if self.is_fault {
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

/// A line without the names of our structs; nothing where they were all of it.
fn sentence(line: &str) -> Option<String> {
    // One of these must be provided: (constraint on AccessSettings @ .access.tokens):
    if let Some((what, _)) = line.split_once(" (constraint on ") {
        return Some(what.to_owned());
    }
    // LimitSettings value was invalid (@ .limits.): RATE_LIMIT_BURST means nothing without ...
    if let Some((_, fault)) = line.split_once(" value was invalid") {
        return fault.split_once(": ").map(|(_, fault)| fault.to_owned());
    }
    // A subcommand must be selected (Orders::command):
    if let Some((what, _)) = line.split_once(" must be selected (") {
        return Some(format!("{what} must be selected:"));
    }
    if let Some(fault) = line.strip_prefix("when parsing '' value ") {
        return Some(format!("when parsing {fault}"));
    }
    if line.starts_with("Usage: ") || line.starts_with('-') {
        return Some(line.split(' ').map(argument).collect::<Vec<_>>().join(" "));
    }
    Some(line.to_owned())
}

/// The variable that the lines under a placeholder name.
fn variable_of<'l>(below: &[&'l str]) -> Option<&'l str> {
    let own = below.iter().take_while(|line| placeholder(line.trim(), '<', '>').is_none());
    let name = own.into_iter().find_map(|line| line.trim().strip_prefix("[env: "))?;
    name.split(['=', ']']).next()
}

/// `conf` checks by itself that an argument is there, and so it shows each as if it could be left out. The value of an
/// option is called after the way to its field.
fn argument(word: &str) -> String {
    match placeholder(word, '[', ']').or_else(|| placeholder(word, '<', '>')) {
        Some(name) => format!("<{}>", name.rsplit('.').next().unwrap_or(name)),
        None => word.to_owned(),
    }
}

/// The name of one of our fields in brackets, where that is all there is.
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
    fn a_fault_names_what_is_typed_and_nothing_of_the_code() {
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
    fn help_names_variables_and_shows_that_an_argument_is_required() {
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
