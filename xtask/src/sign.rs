//! Test signing: a certificate made for one build, and signatures with it.
//!
//! Invariants: the private key lives in a folder that is removed with the signer, so nothing can
//! be signed later with a certificate that somebody came to trust.
//! Neighbours: `package` signs and verifies with it; `catalog` writes what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::Run;
use crate::workspace;

/// Who the certificate says signed.
const SUBJECT: &str = "/CN=Tollgate test signing";

/// A key pair, and the certificate for it.
pub struct Signer {
    dir: PathBuf,
}

impl Signer {
    /// Makes a key and a certificate that may sign code and nothing else.
    pub fn new() -> Result<Signer> {
        // The process id keeps two builds, and two tests, apart.
        let dir = workspace::work_dir().join(format!("signer-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let signer = Signer { dir };
        Run::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "365"])
            .args(["-subj", SUBJECT])
            .args(["-addext", "extendedKeyUsage=critical,codeSigning"])
            .args(["-addext", "keyUsage=critical,digitalSignature"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(signer.key())
            .arg("-out")
            .arg(signer.certificate())
            .log("openssl-req")
            .run()?;
        Ok(signer)
    }

    /// Writes the certificate as Windows installs it.
    pub fn export(&self, file: &Path) -> Result<()> {
        Run::new("openssl")
            .args(["x509", "-outform", "DER", "-in"])
            .arg(self.certificate())
            .arg("-out")
            .arg(file)
            .log("openssl-x509")
            .run()
    }

    /// Signs an image, with digests of its pages, or a catalog.
    pub fn sign(&self, from: &Path, to: &Path) -> Result<()> {
        if to.exists() {
            fs::remove_file(to)?;
        }
        let run = Run::new("osslsigncode")
            .args(["sign", "-h", "sha256", "-n", "Tollgate", "-certs"])
            .arg(self.certificate())
            .arg("-key")
            .arg(self.key());
        let is_catalog = from.extension().is_some_and(|extension| extension == "cat");
        let run = if is_catalog { run } else { run.arg("-ph") };
        run.arg("-in").arg(from).arg("-out").arg(to).log("osslsigncode-sign").run()
    }

    /// Verifies the signature inside a file, trusting this certificate alone.
    pub fn verify(&self, file: &Path) -> Result<()> {
        self.verifier(file).run()
    }

    /// Verifies that a signed catalog vouches for a file.
    pub fn verify_in(&self, catalog: &Path, file: &Path) -> Result<()> {
        self.verifier(file).arg("-catalog").arg(catalog).run()
    }

    /// Verifies that a signed catalog does not vouch for a file.
    pub fn verify_not_in(&self, catalog: &Path, file: &Path) -> Result<()> {
        if self.verifier(file).arg("-catalog").arg(catalog).output()?.success {
            bail!("{} vouches for {}, and should not", catalog.display(), file.display());
        }
        Ok(())
    }

    fn verifier(&self, file: &Path) -> Run {
        Run::new("osslsigncode")
            .args(["verify", "-CAfile"])
            .arg(self.certificate())
            .arg("-in")
            .arg(file)
            .log("osslsigncode-verify")
    }

    fn key(&self) -> PathBuf {
        self.dir.join("key.pem")
    }

    fn certificate(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("warning: the signing key is still in {}: {error}", self.dir.display());
        }
    }
}
