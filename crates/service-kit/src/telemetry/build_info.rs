//! Version and revision of this build.

use std::sync::LazyLock;

/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the build was made from: `SALES_REVISION` at build time, which image builds set.
/// Local builds leave it unset, so that a commit alone does not cause a rebuild.
pub const REVISION: Option<&str> = option_env!("SALES_REVISION");

/// What `--version` prints after the name of the program.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| describe(VERSION, REVISION));
    &TEXT
}

/// [`REVISION`], or `unknown`.
pub fn revision() -> &'static str {
    named(REVISION).unwrap_or("unknown")
}

fn describe(version: &str, revision: Option<&str>) -> String {
    match named(revision) {
        Some(revision) => format!("{version} (revision {revision})"),
        None => version.to_owned(),
    }
}

/// `None` for the values that an image without a revision has.
fn named(revision: Option<&str>) -> Option<&str> {
    revision.filter(|it| !it.is_empty() && *it != "unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_includes_the_revision_if_known() {
        assert_eq!(describe("0.1.0", Some("4d1c2b3")), "0.1.0 (revision 4d1c2b3)");
        for unknown in [None, Some(""), Some("unknown")] {
            assert_eq!(describe("0.1.0", unknown), "0.1.0");
        }
    }
}
