//! `bedstone bundle`.

mod create;
mod show;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bedstone_bundle::crypt::Key;
use bedstone_bundle::signature::{Clock, Trust};
use bedstone_bundle::{Bundle, Error, check};
use serde_json::json;

use crate::args::{BundleCommand, BundleVerifyArgs};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

pub(crate) fn run(command: &BundleCommand, context: &Context) -> Result<()> {
    match command {
        BundleCommand::Create(arguments) => create::run(arguments, context),
        BundleCommand::Show { bundle } => show(bundle, context),
        BundleCommand::Verify(arguments) => verify(arguments, context),
    }
}

fn show(path: &Path, context: &Context) -> Result<()> {
    let refuse = |error: Error| {
        Failure::caused_by(Kind::Input, error).context(format!("cannot show `{}`", path.display()))
    };
    let bundle = Bundle::inspect(open(path)?).map_err(refuse)?;
    let description = bundle.description().clone();
    let signer = bundle.signer().clone();
    let contents = check(bundle, None).map_err(refuse)?;
    context.print(&show::to_json(&description, &signer, &contents), || {
        show::to_text(&description, &signer, &contents)
    })
}

fn verify(arguments: &BundleVerifyArgs, context: &Context) -> Result<()> {
    let clock = match (arguments.no_clock, arguments.at) {
        (true, _) => Clock::Unknown,
        (false, at) => {
            let at = at.unwrap_or_else(jiff::Timestamp::now).as_second();
            Clock::At(u64::try_from(at).unwrap_or(0))
        }
    };
    let trust = Trust::new(&read(&arguments.certificate)?, clock)
        .map_err(|error| unusable(error, &arguments.certificate))?;
    let key = arguments
        .decrypt
        .as_deref()
        .map(decryption_key)
        .transpose()?;
    let input: Box<dyn Read> = if arguments.bundle.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(open(&arguments.bundle)?)
    };
    let outcome = Bundle::open(input, &trust).and_then(|bundle| {
        let signer = bundle.signer().clone();
        let version = bundle.description().version.clone();
        check(bundle, key.as_ref()).map(|contents| (signer, version, contents))
    });
    let shown = arguments.bundle.display();
    match outcome {
        Ok((signer, version, contents)) => {
            let value = json!({
                "version": 1,
                "verdict": "accepted",
                "bundle_version": version,
                "signer": show::signer(&signer),
                "members": show::members(&contents),
                "unlisted": contents.unlisted,
                "unlisted_count": contents.unlisted_count,
                "data_follows": contents.follows,
            });
            context.print(&value, || {
                format!(
                    "{shown}: version {}, signed by {}\n{}",
                    show::plain(&version),
                    signer.subject,
                    show::contents_text(&contents)
                )
            })
        }
        Err(error) => {
            let context_text = format!("`{shown}` is refused");
            let Some(refusal) = error.refusal() else {
                return Err(Failure::caused_by(Kind::Failed, error)
                    .context(format!("cannot verify `{shown}`")));
            };
            if context.json {
                let value = json!({
                    "version": 1,
                    "verdict": "refused",
                    "refusal": refusal.code(),
                    "reason": error.to_string(),
                });
                context.print(&value, String::new)?;
            }
            Err(Failure::caused_by(Kind::CheckSaysNo, error)
                .context(format!("{context_text}: {refusal}")))
        }
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path)
        .map(|file| BufReader::with_capacity(PIECE, file))
        .map_err(|error| {
            Failure::caused_by(Kind::Input, error)
                .context(format!("cannot read `{}`", path.display()))
        })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Failure::caused_by(Kind::Input, error).context(format!("cannot read `{}`", path.display()))
    })
}

fn decryption_key(path: &Path) -> Result<Key> {
    Key::parse(&read(path)?).map_err(|error| unusable(error, path))
}

fn unusable(error: Error, path: &Path) -> Failure {
    Failure::caused_by(Kind::Input, error).context(format!("cannot use `{}`", path.display()))
}
