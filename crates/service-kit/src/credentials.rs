//! Files that say who is trusted and who we are. They are read when a service starts, so that a wrong one is a fault of the
//! configuration and not an outage; and again when they change, since a certificate lasts for weeks and a service for
//! longer.

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

use crate::metrics::on_scrape;

/// Between two looks whether files have changed.
const LOOK: Duration = Duration::from_secs(5);

/// The files of certificates that settings name.
static IN_USE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// When files were last changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<Option<SystemTime>>);

impl Stamp {
    /// As they are now. A file that is mounted is often a link, whose target is another one after a change.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let changed = |file: &PathBuf| std::fs::metadata(file).and_then(|it| it.modified()).ok();
        Self(files.into_iter().map(changed).collect())
    }
}

/// Files, and how they were when they were last used.
#[derive(Clone, Debug)]
pub struct Watched {
    files: Vec<PathBuf>,
    used: Stamp,
    seen: Stamp,
    next_look: Instant,
}

impl Watched {
    /// Files that are used now. To be called before they are read: a change in between is one.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let used = Stamp::of(&files);
        Self { files, seen: used.clone(), used, next_look: Instant::now() + LOOK }
    }

    /// Waits until one of them is another one than was used last. It can be dropped and called again.
    pub async fn changed(&mut self) {
        if self.files.is_empty() {
            return pending().await;
        }
        loop {
            sleep_until(self.next_look).await;
            self.next_look = Instant::now() + LOOK;
            self.seen = Stamp::of(&self.files);
            if self.seen != self.used {
                return;
            }
        }
    }

    /// What has changed is used now. As long as it is not, because it is of no use or is being written, it goes on being a
    /// change.
    pub fn accept(&mut self) {
        self.used = self.seen.clone();
    }
}

/// Shows before each scrape how many days are left to the certificates in use: of each file, to the first that ends.
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

/// `None` for a file that cannot be read: it may be that it is being written.
fn days_left(file: &Path) -> Option<f64> {
    let certificates = certificates(file.to_str()?).ok()?;
    let left = |certificate: &[u8]| -> Result<f64, ErrorStack> {
        let left = Asn1Time::days_from_now(0)?.diff(X509::from_der(certificate)?.not_after())?;
        Ok(f64::from(left.days) + f64::from(left.secs) / 86_400.0)
    };
    certificates.iter().filter_map(|certificate| left(certificate).ok()).reduce(f64::min)
}

/// A file in PEM with the certificates of authorities: what they have signed is trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct CaFile {
    path: PathBuf,
    certificates: Vec<Vec<u8>>,
}

impl CaFile {
    /// Reads a file, in which there must be at least one certificate.
    pub fn read(path: &str) -> Result<Self, String> {
        let certificates = certificates(path)?;
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into());
        Ok(Self { path: path.into(), certificates })
    }

    /// Where it is.
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

/// Finds a certificate in a file.
pub fn certificate_file(path: &str) -> Result<PathBuf, String> {
    CaFile::read(path).map(|file| file.path)
}

/// Finds a private key in a file. It must not be encrypted: a service starts without anybody there to type.
pub fn key_file(path: &str) -> Result<PathBuf, String> {
    let is_key = |tag: &str| tag.ends_with("PRIVATE KEY") && !tag.starts_with("ENCRYPTED");
    if blocks(path)?.iter().any(|block| is_key(block.tag())) {
        Ok(path.into())
    } else {
        Err(format!("{path} has no private key in it that is not encrypted"))
    }
}

/// The certificates of a file, of which there must be at least one, in DER.
fn certificates(path: &str) -> Result<Vec<Vec<u8>>, String> {
    let blocks = blocks(path)?.into_iter().filter(|block| block.tag() == "CERTIFICATE");
    let certificates: Vec<_> = blocks.map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        return Err(format!("{path} has no certificate in it"));
    }
    Ok(certificates)
}

fn blocks(path: &str) -> Result<Vec<pem::Pem>, String> {
    let text = std::fs::read(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    // What the library says of a fault may quote the file.
    pem::parse_many(text).map_err(|_| format!("{path} is not in PEM"))
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
    fn a_file_without_what_it_should_have_is_refused_by_name_and_not_quoted() {
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
                "not encrypted",
            ),
            (key_file(&broken).map(|_| ()), &broken, "no private key"),
        ] {
            let fault = refused.unwrap_err();
            assert!(fault.contains(path) && fault.contains(why), "{fault}");
            assert!(!fault.contains("aHVudGVyMg"), "{fault}");
        }
        for name in ["both.pem", "key.pem", "sealed.pem", "broken.pem"] {
            std::fs::remove_file(file(name, "")).unwrap();
        }
    }
}
