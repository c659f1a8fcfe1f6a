//! Files that say who is trusted and who we are, read when a service starts, so that a wrong one is a fault of the
//! configuration and not an outage.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file in PEM with the certificates of authorities: what they have signed is trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct CaFile {
    path: PathBuf,
    certificates: Vec<Vec<u8>>,
}

impl CaFile {
    /// Reads a file, in which there must be at least one certificate.
    pub fn read(path: &str) -> Result<Self, String> {
        let blocks = blocks(path)?;
        let certificates = blocks.into_iter().filter(|it| it.tag() == "CERTIFICATE");
        let certificates: Vec<_> = certificates.map(pem::Pem::into_contents).collect();
        if certificates.is_empty() {
            return Err(format!("{path} has no certificate in it"));
        }
        Ok(Self { path: path.into(), certificates })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
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
