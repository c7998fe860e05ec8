//! A certificate for this machine, signed by itself, made by openssl.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// For localhost and 127.0.0.1, in files of its own until dropped.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    #[must_use]
    pub fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        made.renew();
        made
    }

    /// The chain, as PEM.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    /// The key, as PEM.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// The certificate's own bytes.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        let file = self.file();
        let mut command = Command::new("openssl");
        let output = command.args(["x509", "-outform", "der", "-in"]).arg(file).output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    /// Another certificate with another key takes the place of both files, as renewing programs do it: one
    /// after the other.
    pub fn renew(&self) {
        let folder = self.folder.path();
        let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.new -out chain.new -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
        openssl(folder, make);
        for name in ["key", "chain"] {
            let new = folder.join(format!("{name}.new"));
            std::fs::rename(new, folder.join(format!("{name}.pem"))).unwrap();
        }
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

fn openssl(folder: &Path, words: &str) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(folder).args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}
