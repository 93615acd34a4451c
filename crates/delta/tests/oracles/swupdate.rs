//! SWUpdate's handlers `delta` and `rdiff_image`, with our files.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bedstone_delta::rdiff::{self, Signature};
use bedstone_delta::zchunk::{Options, write};
use bedstone_store::Digest;

use super::images::pair;
use super::nginx::Server;

/// Runs a shell script in `directory`.
fn shell(directory: &Path, script: &str) {
    let status = Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory)
        .status()
        .expect("sh runs");
    assert!(status.success(), "{script}");
}

/// Signs a bundle with one artifact and has SWUpdate install it.
fn install(directory: &Path, artifact: &str, attributes: &str) -> Output {
    let digest = Digest::of(&fs::read(directory.join(artifact)).unwrap());
    let description = format!(
        "software = {{ version = \"1\"; hardware-compatibility = [ \"1.0\" ];\n\
         images: ( {{ filename = \"{artifact}\"; sha256 = \"{digest}\"; device = \"{}\"; {attributes} }} ); }}\n",
        directory.join("target").display()
    );
    fs::write(directory.join("sw-description"), description).unwrap();
    shell(
        directory,
        &format!(
            "openssl req -x509 -newkey rsa:3072 -nodes -days 2 -subj /CN=test -addext extendedKeyUsage=emailProtection \
             -keyout key.pem -out cert.pem 2>/dev/null
             openssl cms -sign -in sw-description -out sw-description.sig -signer cert.pem -inkey key.pem -outform DER -nosmimecap -binary
             printf '%s\\n' sw-description sw-description.sig {artifact} | cpio -oL --quiet -H crc > bundle.swu"
        ),
    );
    Command::new("swupdate")
        .args(["-v", "-l", "5", "-B", "none", "-H", "board:1.0", "-k"])
        .arg(directory.join("cert.pem"))
        .arg("-i")
        .arg(directory.join("bundle.swu"))
        .current_dir(directory)
        .env("TMPDIR", directory)
        .stdin(Stdio::null())
        .output()
        .expect("swupdate runs: apt-get install swupdate")
}

fn assert_installed(output: &Output, directory: &Path, new: &[u8]) {
    let log = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    // The exit code of 2022.12 is wrong now and then.
    assert!(log.contains("SWUpdate was successful"), "{log}");
    let target = fs::read(directory.join("target")).unwrap();
    assert!(target[..new.len()] == *new, "{log}");
}

#[test]
fn its_delta_handler_takes_our_header_and_body() {
    let (old, new) = pair(20_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let mut file = Vec::new();
    let options = Options {
        level: 9,
        threads: 2,
    };
    let header = write(&mut &*new, options, &mut Cursor::new(Vec::new()), &mut file).unwrap();
    fs::write(directory.join("new.zck"), &file).unwrap();
    fs::set_permissions(directory.join("new.zck"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(
        directory.join("new.header"),
        &file[..header.length() as usize],
    )
    .unwrap();
    fs::write(directory.join("old"), &old).unwrap();
    fs::write(directory.join("target"), vec![0xff; 21_000_000]).unwrap();
    let server = Server::start(directory, "");
    let attributes = format!(
        "type = \"delta\"; properties: {{ url = \"{}\"; source = \"{}\"; chain = \"raw\"; zckloglevel = \"error\"; }};",
        server.address("new.zck"),
        directory.join("old").display()
    );
    let output = install(directory, "new.header", &attributes);
    assert_installed(&output, directory, &new);
    // It found our chunks in the old image.
    let log = fs::read_to_string(directory.join("access.log")).unwrap();
    let sent: u64 = log
        .lines()
        .map(|line| {
            line.split(' ')
                .nth(9)
                .and_then(|it| it.parse::<u64>().ok())
                .expect("a size")
        })
        .sum();
    assert!(
        sent < file.len() as u64 / 5,
        "{sent} of {}\n{log}",
        file.len()
    );
}

#[test]
fn its_rdiff_handler_takes_our_delta() {
    let (old, new) = pair(10_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let mut sums = Vec::new();
    rdiff::signature(
        &mut &*old,
        rdiff::Options::recommended(old.len() as u64),
        &mut sums,
    )
    .unwrap();
    let mut delta = Vec::new();
    rdiff::delta(
        &Signature::read(&mut &*sums).unwrap(),
        &mut &*new,
        &mut delta,
    )
    .unwrap();
    fs::write(directory.join("new.delta"), &delta).unwrap();
    fs::write(directory.join("old"), &old).unwrap();
    fs::write(directory.join("target"), vec![0xff; 11_000_000]).unwrap();
    let attributes = format!(
        "type = \"rdiff_image\"; properties: {{ rdiffbase = \"{}\"; }};",
        directory.join("old").display()
    );
    let output = install(directory, "new.delta", &attributes);
    assert_installed(&output, directory, &new);
}
