//! Deltas by hand, and what `bench/delta` measures. Prints the peak of resident memory in kB at the end.
//!
//! ```sh
//! delta signature OLD SIGNATURE [BLOCK]      delta delta SIGNATURE NEW DELTA       delta patch OLD DELTA NEW
//! delta zck NEW NEW.zck [LEVEL [THREADS]]    delta unzck NEW.zck NEW
//! delta update OLD NEW.zck NEW               # NEW.zck a file, or a header file and an http:// address: HEADER,ADDRESS
//! ```
//!
//! `patch`, `unzck` and `update` take digest and length of the new image from `NEW.sha256` (as `sha256sum` writes it)
//! and `NEW.length`, `patch` those of the old one from `OLD.sha256` and `OLD.length`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::{env, io};

use bedstone_delta::base::{Base, VerifiedBase};
use bedstone_delta::http::{self, Ranges};
use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::rdiff::{self, Signature};
use bedstone_delta::zchunk::{self, Body, Header, Index, Plan};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["signature", old, out, ref block @ ..] => {
            let mut old = File::open(old)?;
            let mut options = rdiff::Options::recommended(old.size()?);
            if let [block] = block {
                options.block_length = block.parse()?;
            }
            let mut out = BufWriter::new(File::create(out)?);
            rdiff::signature(&mut old, options, &mut out)?;
            out.flush()?;
        }
        ["delta", signature, new, out] => {
            let signature = Signature::read(&mut File::open(signature)?)?;
            let mut out = BufWriter::new(File::create(out)?);
            rdiff::delta(&signature, &mut File::open(new)?, &mut out)?;
            out.flush()?;
        }
        ["patch", old, delta, new] => {
            let file = File::open(old)?;
            let base = VerifiedBase::check(&file, described(old)?)?;
            let mut target = File::create(new)?;
            let expected = described(new)?;
            rdiff::apply(
                &base,
                File::open(delta)?,
                &expected,
                Prefix::none(),
                &mut target,
            )?;
        }
        ["zck", new, out, ref options @ ..] => {
            let options = zchunk::Options {
                level: options.first().map_or(Ok(9), |text| text.parse())?,
                threads: options.get(1).map_or(Ok(2), |text| text.parse())?,
            };
            let spool = format!("{out}.body");
            let mut body = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&spool)?;
            fs::remove_file(&spool)?;
            zchunk::write(
                &mut File::open(new)?,
                options,
                &mut body,
                &mut File::create(out)?,
            )?;
        }
        ["unzck", zck, new] => update(None, zck, new)?,
        ["update", old, zck, new] => update(Some(old), zck, new)?,
        _ => return Err("see the first lines of this example".into()),
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    writeln!(io::stdout(), "{}", peak.unwrap_or_default())?;
    Ok(())
}

fn update(old: Option<&str>, zck: &str, new: &str) -> Result<(), Box<dyn Error>> {
    let expected = described(new)?;
    let old = old.map(File::open).transpose()?;
    let (header_file, address) = match zck.split_once(',') {
        Some((header, address)) => (header, Some(address)),
        None => (zck, None),
    };
    let file = File::open(header_file)?;
    let header = Header::read(&mut io::BufReader::new(&file).by_ref())?;
    let index = match &old {
        Some(old) => Index::of(old, u64::MAX, header.checksum())?,
        None => Index::empty(),
    };
    let plan = Plan::new(&header, &index);
    writeln!(io::stdout(), "download {} bytes", plan.download(&header))?;
    let mut local = &file;
    let mut remote = address.map(|address| {
        let agent = ureq::Agent::new_with_defaults();
        let ranges = plan.ranges(&header, 0);
        Ranges::new(agent, address, ranges, http::Options::default())
    });
    let body: &mut dyn Body = match &mut remote {
        Some(remote) => remote,
        None => &mut local,
    };
    let nothing: &[u8] = &[];
    let mut target = File::create(new)?;
    match &old {
        Some(old) => zchunk::apply(
            &header,
            &plan,
            old,
            Some(body),
            &expected,
            Prefix::none(),
            &mut target,
        )?,
        None => zchunk::apply(
            &header,
            &plan,
            nothing,
            Some(body),
            &expected,
            Prefix::none(),
            &mut target,
        )?,
    }
    Ok(())
}

/// What `PATH.sha256` and `PATH.length` say of an image.
fn described(path: &str) -> Result<Image, Box<dyn Error>> {
    let digest = fs::read_to_string(format!("{path}.sha256"))?;
    let length = fs::read_to_string(format!("{path}.length"))?;
    Ok(Image {
        digest: digest
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .parse()?,
        length: length.trim().parse()?,
    })
}
