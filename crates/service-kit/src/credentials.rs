//! Certificate and key files. They are read when a service starts, so that an invalid file is a
//! configuration error and not an outage. They are read again when they change, because a service
//! runs longer than a certificate is valid.

use std::collections::BTreeSet;
use std::fmt;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::x509::X509;
use tokio::time::{Instant, sleep_until};

use crate::telemetry::metrics::on_scrape;

/// Interval between two checks for changed files.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The certificate files that the settings name.
static IN_USE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Modification times of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<Option<SystemTime>>);

impl Stamp {
    /// The current times. Follows links: a mounted file is often a link whose target is replaced.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let changed = |file: &PathBuf| std::fs::metadata(file).and_then(|it| it.modified()).ok();
        Self(files.into_iter().map(changed).collect())
    }
}

/// Files, with the modification times of the version in use.
#[derive(Clone, Debug)]
pub struct Watched {
    files: Vec<PathBuf>,
    used: Stamp,
    seen: Stamp,
    next_check: Instant,
}

impl Watched {
    /// Starts to watch files. Call it before they are read, so that it notices a change in between.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let used = Stamp::of(&files);
        Self { files, seen: used.clone(), used, next_check: Instant::now() + CHECK_INTERVAL }
    }

    /// Waits until a file differs from the version in use. Cancel safe.
    pub async fn changed(&mut self) {
        if self.files.is_empty() {
            return pending().await;
        }
        loop {
            sleep_until(self.next_check).await;
            self.next_check = Instant::now() + CHECK_INTERVAL;
            self.seen = Stamp::of(&self.files);
            if self.seen != self.used {
                return;
            }
        }
    }

    /// Marks the changed files as in use. Until then, for example while a file is incomplete or
    /// invalid, [`Self::changed`] reports them again.
    pub fn accept(&mut self) {
        self.used = self.seen.clone();
    }
}

/// Before each scrape, reports the remaining days of each certificate file in use: until its first
/// certificate expires.
pub(crate) fn show_days_left() {
    on_scrape(|| {
        let in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for file in &in_use {
            if let Some(days) = days_left(file) {
                metrics::gauge!("certificate_remaining_days", "file" => file.display().to_string())
                    .set(days);
            }
        }
        true
    });
}

/// `None` for a file that cannot be read, for example while it is being written.
fn days_left(file: &Path) -> Option<f64> {
    let certificates = certificates(file.to_str()?).ok()?;
    let left = |certificate: &[u8]| -> Result<f64, ErrorStack> {
        let left = Asn1Time::days_from_now(0)?.diff(X509::from_der(certificate)?.not_after())?;
        Ok(f64::from(left.days) + f64::from(left.secs) / 86_400.0)
    };
    certificates.iter().filter_map(|certificate| left(certificate).ok()).reduce(f64::min)
}

/// A PEM file with the certificates of trusted authorities.
#[derive(Clone, PartialEq, Eq)]
pub struct CaFile {
    path: PathBuf,
    certificates: Vec<Vec<u8>>,
}

impl CaFile {
    /// Reads a file, which must contain at least one certificate.
    pub fn read(path: &str) -> Result<Self, String> {
        let certificates = certificates(path)?;
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into());
        Ok(Self { path: path.into(), certificates })
    }

    /// The path of the file.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The certificates, in DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(Vec::as_slice)
    }
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CaFile").field(&self.path).finish()
    }
}

/// Checks that a file contains a certificate.
pub fn certificate_file(path: &str) -> Result<PathBuf, String> {
    CaFile::read(path).map(|file| file.path)
}

/// Checks that a file contains a private key. It must not be encrypted: a service starts
/// unattended.
pub fn key_file(path: &str) -> Result<PathBuf, String> {
    let is_key = |tag: &str| tag.ends_with("PRIVATE KEY") && !tag.starts_with("ENCRYPTED");
    if blocks(path)?.iter().any(|block| is_key(block.tag())) {
        Ok(path.into())
    } else {
        Err(format!("{path} contains no unencrypted private key"))
    }
}

/// The certificates of a file, in DER. It must contain at least one.
fn certificates(path: &str) -> Result<Vec<Vec<u8>>, String> {
    let blocks = blocks(path)?.into_iter().filter(|block| block.tag() == "CERTIFICATE");
    let certificates: Vec<_> = blocks.map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        return Err(format!("{path} contains no certificate"));
    }
    Ok(certificates)
}

fn blocks(path: &str) -> Result<Vec<pem::Pem>, String> {
    let text = std::fs::read(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    // The error of the library is dropped, because it may quote the file.
    pem::parse_many(text).map_err(|_| format!("{path} is not a PEM file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> String {
        let path = std::env::temp_dir().join(format!("credentials-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn invalid_files_are_named_but_not_quoted() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
        let sealed = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let both = file("both.pem", &[certificate, key, certificate].concat());
        assert_eq!(CaFile::read(&both).unwrap().certificates().collect::<Vec<_>>(), [[1, 2, 3]; 2]);
        assert_eq!(key_file(&both).unwrap(), Path::new(&both));

        let key = file("key.pem", key);
        let broken = file("broken.pem", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg=\n");
        let read = |path: &str| CaFile::read(path).map(|_| ());
        for (refused, path, why) in [
            (read(&key), &key, "no certificate"),
            (read("/nowhere/ca.pem"), &"/nowhere/ca.pem".to_owned(), "cannot be read"),
            (
                key_file(&file("sealed.pem", &sealed)).map(|_| ()),
                &"sealed.pem".to_owned(),
                "no unencrypted private key",
            ),
            (key_file(&broken).map(|_| ()), &broken, "no unencrypted private key"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.contains(path) && error.contains(why), "{error}");
            assert!(!error.contains("aHVudGVyMg"), "{error}");
        }
        for name in ["both.pem", "key.pem", "sealed.pem", "broken.pem"] {
            std::fs::remove_file(file(name, "")).unwrap();
        }
    }
}
