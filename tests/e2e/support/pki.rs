//! Certificates made here with openssl: an authority per test, leaves from it, and the layouts ACME clients keep them in.

use super::process::run;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority of our own.
pub struct Authority {
    folder: PathBuf,
}

/// A leaf with its chain and key, in PEM.
pub struct Leaf {
    /// The certificate.
    pub cert: String,
    /// The authority's certificate.
    pub chain: String,
    /// The key.
    pub key: String,
}

const EC: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

impl Authority {
    /// Makes one in `folder`.
    pub fn new(folder: &Path) -> Authority {
        fs::create_dir_all(folder).expect("the authority's folder");
        let authority = Authority { folder: folder.to_owned() };
        run(openssl(&["req", "-x509", "-nodes", "-days", "3650", "-subj", "/CN=authority of a test"])
            .args(EC)
            .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
            .arg("-keyout")
            .arg(folder.join("ca.key"))
            .arg("-out")
            .arg(authority.file()));
        authority
    }

    /// The authority's certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A new leaf, with a new key, for `names`.
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        let [key, request, extensions, cert] = ["leaf.key", "leaf.csr", "leaf.ext", "leaf.pem"].map(|name| self.folder.join(name));
        let alternative: Vec<String> = names.iter().map(|name| alternative_name(name)).collect();
        fs::write(&extensions, format!("subjectAltName={}\nbasicConstraints=CA:FALSE\n", alternative.join(","))).expect("extensions");
        run(openssl(&["req", "-nodes", "-subj", "/CN=leaf"]).args(EC).arg("-keyout").arg(&key).arg("-out").arg(&request));
        run(openssl(&["x509", "-req", "-days", "90"])
            .arg("-in")
            .arg(&request)
            .arg("-CA")
            .arg(self.file())
            .arg("-CAkey")
            .arg(self.folder.join("ca.key"))
            .arg("-extfile")
            .arg(&extensions)
            .arg("-out")
            .arg(&cert));
        Leaf { cert: read(&cert), chain: read(&self.file()), key: read(&key) }
    }
}

impl Leaf {
    /// Certificate and chain.
    pub fn fullchain(&self) -> String {
        format!("{}{}", self.cert, self.chain)
    }

    /// The serial number, as openssl prints it.
    pub fn serial(&self) -> String {
        serial_of_text(&self.cert)
    }

    /// Writes certbot's four files to `folder`, over what is there.
    pub fn write_generic(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("the source's folder");
        for (name, text) in self.certbot_files() {
            fs::write(folder.join(format!("{name}.pem")), text).expect("a source file");
        }
    }

    /// As certbot keeps it: `archive/NAME/cert1.pem`, and links to them in `live/NAME`. Answers with the live folder.
    pub fn write_certbot(&self, config: &Path, name: &str, number: u32) -> PathBuf {
        let (archive, live) = (config.join("archive").join(name), config.join("live").join(name));
        fs::create_dir_all(&archive).expect("the archive");
        fs::create_dir_all(&live).expect("the live folder");
        for (file, text) in self.certbot_files() {
            let real = format!("{file}{number}.pem");
            fs::write(archive.join(&real), text).expect("an archived file");
            let (link, fresh) = (live.join(format!("{file}.pem")), live.join(format!(".{file}.new")));
            symlink(Path::new("../../archive").join(name).join(&real), &fresh).expect("a link");
            fs::rename(&fresh, &link).expect("the link in place");
        }
        fs::write(live.join("README"), "This directory contains your keys and certificates.\n").expect("certbot's README");
        live
    }

    fn certbot_files(&self) -> [(&'static str, String); 4] {
        [("cert", self.cert.clone()), ("chain", self.chain.clone()), ("fullchain", self.fullchain()), ("privkey", self.key.clone())]
    }
}

/// The serial number of the first certificate in a file.
pub fn serial_of(file: &Path) -> String {
    serial_of_text(&read(file))
}

/// The serial number of the first certificate in a text.
pub fn serial_of_text(pem: &str) -> String {
    let mut child = openssl(&["x509", "-noout", "-serial"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("openssl");
    child.stdin.take().expect("its input").write_all(pem.as_bytes()).expect("a certificate for openssl");
    let output = child.wait_with_output().expect("openssl's answer");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().strip_prefix("serial=").unwrap_or_else(|| panic!("no serial number in {pem}")).to_owned()
}

fn alternative_name(name: &str) -> String {
    if name.parse::<std::net::IpAddr>().is_ok() { format!("IP:{name}") } else { format!("DNS:{name}") }
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).stderr(Stdio::piped());
    command
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
