//! Which build this is.

use std::sync::LazyLock;

/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from: the variable `SALES_REVISION` at the time of the build, as an image sets it. One of
/// one's own is built without, so that a commit alone compiles nothing anew.
pub const REVISION: Option<&str> = option_env!("SALES_REVISION");

/// What `--version` says after the name of the program.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| describe(VERSION, REVISION));
    &TEXT
}

/// [`REVISION`] for whoever needs a word in any case.
pub fn revision() -> &'static str {
    named(REVISION).unwrap_or("unknown")
}

fn describe(version: &str, revision: Option<&str>) -> String {
    match named(revision) {
        Some(revision) => format!("{version} (revision {revision})"),
        None => version.to_owned(),
    }
}

/// An image that was built without a revision says so by one of these.
fn named(revision: Option<&str>) -> Option<&str> {
    revision.filter(|it| !it.is_empty() && *it != "unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_tells_its_revision_where_it_knows_one() {
        assert_eq!(describe("0.1.0", Some("4d1c2b3")), "0.1.0 (revision 4d1c2b3)");
        for unknown in [None, Some(""), Some("unknown")] {
            assert_eq!(describe("0.1.0", unknown), "0.1.0");
        }
    }
}
